widget("rlhf", ({runs}, set) => {
  const run = runs[set.run], step = Math.min(set.step, run.gold.length - 1), columns = ["kl", "proxy", "gold"];
  const smooth = Object.fromEntries(columns.map((name) => [name, smoothed(run[name], set.window)]));
  return {...Object.fromEntries(columns.map((name) => [name, run[name][step]])), smooth,
    top: smooth.gold.indexOf(Math.max(...smooth.gold)) + (set.window - 1) / 2,
    worth: run.answers[step].map(([, points]) => sum(points))};
}, (fig, found, set) => {
  const {low, high, far, runs} = fig.data, run = runs[set.run], last = run.gold.length - 1;
  const line = (name, top, tall, low, high) => fig.put(name, {points: found.smooth[name].map((x, i) =>
    `${(30 + 300 * (i + (set.window - 1) / 2) / last).toFixed(1)},${(top + tall * (high - x) / (high - low)).toFixed(1)}`).join(" ")});
  line("gold", 26, 130, low, high);
  line("proxy", 26, 130, low, high);
  line("kl", 182, 70, 0, far);
  const now = 30 + 300 * set.step / last;
  fig.put("now", {x1: now, x2: now});
  run.answers[set.step].forEach(([words, points], i) => {
    fig.parts[`answer${i}`].replaceChildren(...words.flatMap((word, j) => [j ? " " : "", marked(word, points[j])]));
    fig.put(`worth${i}`, {text: signed(found.worth[i], 0)});
  });
  fig.put("said", {text: `After ${set.step} updates: proxy ${shown(found.proxy)}, gold ${shown(found.gold)}, ` +
    `${shown(found.kl)} nats from SFT. Gold on the curve is largest after ${shown(found.top, 0)}. ` +
    `The six answers earn ${shown(sum(found.worth), 0)}.`});
}, (x, y, set, {runs}) => ({step: Math.round((x - 30) / 300 * (runs[set.run].gold.length - 1))}));

// A word with its points, if it has any.
const marked = (word, points) => {
  if (!points) return word;
  const span = document.createElement("span"), sup = document.createElement("sup");
  span.className = points > 0 ? "w-plus" : "w-minus";
  sup.textContent = signed(points, 0);
  span.append(word, sup);
  return span;
};
