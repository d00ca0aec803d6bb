widget("attention", (data, set) => {
  const told = data[set.model], [q, k] = ["q", "k"].map((name) => told[name][set.layer - 1][set.head - 1]);
  return {weights: attention_weights(q, k), ids: encode(set.text, data.merges)};
}, (fig, {weights, ids}, set) => {
  const {labels, merges} = fig.data, told = fig.data[set.model], row = weights[set.query];
  weights.forEach((each, i) => {
    for (let j = 0; j <= i; j++) fig.put(`w${i}-${j}`, {"fill-opacity": each[j].toFixed(2)});
  });
  fig.put("row", {y: 24 + 19 * set.query - 1});
  fig.parts.tokens.replaceChildren(...ids.flatMap((id) => {
    const span = document.createElement("span");
    span.textContent = new TextDecoder().decode(new Uint8Array(token_bytes(id, merges))).replaceAll(" ", "␣");
    return [span, " "];
  }));
  const most = row.indexOf(Math.max(...row)), at = set.query;
  fig.put("said", {text: `Having read “${labels[at]}” (place ${at}), head ${set.head} of layer ${set.layer} looks most ` +
    `at “${labels[most]}” (place ${most}), weight ${shown(row[most])}. Likeliest to come next: “${told.guess[at]}”, ` +
    `${shown(told.sure[at])}. The text in the box is ${ids.length} tokens.`});
}, (x, y, set, {labels}) => ({query: clip(Math.floor((y - 24) / 19), 0, labels.length - 1)}));
