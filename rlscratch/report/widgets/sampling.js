widget("sampling", (data, set) => {
  const {logits} = data[set.prompt];
  const previous = logits.map((_, i) => i).slice(0, set.before);
  let probs = softmax(repetition_penalty(logits, previous, set.penalty), set.temperature);
  probs = min_p(top_p(top_k(probs, set.top_k), set.top_p), set.min_p);
  const counts = probs.map(() => 0);
  for (let n = 0; n < set.draws; n++) counts[draw(probs, uniform(set.seed, n))]++;
  return {base: softmax(logits), probs, counts, entropy: entropy(probs.map(Math.log))};
}, (fig, {base, probs, counts, entropy}, set) => {
  const {words} = fig.data[set.prompt], left = probs.filter((p) => p > 0).length, long = 216;
  for (let i = 0; fig.parts[`word${i}`]; i++) {
    const off = i >= words.length, p = probs[i] ?? 0;
    fig.put(`word${i}`, {off, text: words[i] ?? ""});
    fig.put(`base${i}`, {off, width: long * (base[i] ?? 0)});
    fig.put(`bar${i}`, {off, width: long * p});
    fig.put(`drawn${i}`, {off, width: set.draws ? long * (counts[i] ?? 0) / set.draws : 0});
    fig.put(`p${i}`, {off, x: 74 + long * Math.max(p, base[i] ?? 0) + 5, text: p ? shown(p, 3) : "out"});
  }
  const best = probs.indexOf(Math.max(...probs));
  fig.put("said", {text: `${left} of ${words.length} words can be drawn; ${words[best]} has ${shown(probs[best])}. ` +
    `Entropy ${shown(entropy)} nats. Draws: ${set.draws}.`});
});
