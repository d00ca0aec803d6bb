const across = (probability) => 34 + 296 * probability;
const up = (value) => 110 - 22 * clip(value, -4.5, 4.5);

widget("clip", (data, set) => {
  const given = [Math.log(set.new), Math.log(set.old), set.advantage, 1, set.eps_low, set.eps_high];
  const rho = ratio(given[0], given[1]);
  return {ratio: rho, clipped: clip_ratio(rho, set.eps_low, set.eps_high), value: -ppo_clip_loss(...given),
    grad: ppo_clip_grad(...given), dead: dead(rho, set.advantage, set.eps_low, set.eps_high)};
}, (fig, found, set) => {
  const {old, advantage: A} = set, points = (corners) =>
    corners.map(([x, y]) => `${across(x).toFixed(1)},${up(y).toFixed(1)}`).join(" ");
  const low = old * (1 - set.eps_low), high = Math.min(old * (1 + set.eps_high), 1);
  const end = A ? Math.min(1, old * 4.5 / Math.abs(A)) : 1, held = A > 0 ? Math.min(high, end) : low, flat = A * held / old;
  fig.put("band", {x: across(low), width: across(high) - across(low)});
  fig.put("old", {x1: across(old), x2: across(old)});
  fig.put("old-name", {x: across(old) + 4});
  fig.put("plain", {points: points([[0, 0], [end, A * end / old]])});
  fig.put("curve", {points: points(A > 0 ? [[0, 0], [held, flat], [1, flat]] : [[0, flat], [held, flat], [end, A * end / old]])});
  fig.put("point", {cx: across(set.new), cy: up(found.value)});
  fig.put("said", {text: `Ratio ${shown(set.new)} / ${shown(old)} = ${shown(found.ratio)}, clipped ` +
    `${shown(found.clipped)}. Value ${shown(found.value)}; ` + (found.dead ? "the token is dead: gradient 0, no pull." :
    `the token is live: gradient dL/dlog p = ${shown(found.grad)}.`)});
}, (x) => ({new: clip((x - 34) / 296, 0.01, 0.99)}));
