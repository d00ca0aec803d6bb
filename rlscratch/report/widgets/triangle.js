widget("triangle", ({rewards}, set) => {
  const rest = 1 - set.cream, policy = [set.cream, rest * set.hockey, rest * (1 - set.hockey)];
  const reward = expected_reward(policy, rewards), baseline = set.follows ? reward : set.baseline;
  const logits = policy.map(Math.log), scores = policy.map((_, a) => score(logits, a));
  const sampled = scores.map((each, a) => each.map((x) => x * (rewards[a] - baseline)));
  const means = [...Array(60)].map((_, i) => {
    const drawn = [...Array(set.N)].map((_, n) => draw(policy, uniform(set.seed, i * set.N + n)));
    return log_derivative_estimate(drawn.map((a) => scores[a]), drawn.map((a) => rewards[a] - baseline));
  });
  const exact = expected_reward_grad(logits, rewards), weight = scores.map((each, a) => policy[a] * dot(each, each));
  return {policy, reward, baseline, best: dot(weight, rewards) / sum(weight), exact, sampled, means,
    variance: (dot(weight, rewards.map((r) => (r - baseline) ** 2)) - dot(exact, exact)) / set.N};
}, (fig, found, set) => {
  const {corners, scale} = fig.data;
  const place = (weights) => [0, 1].map((axis) => dot(weights, corners.map((corner) => corner[axis])));
  const moved = (g) => place(found.policy.map((p, i) => p + scale * g[i])), [x1, y1] = place(found.policy);
  const arrow = (key, g) => { const [x2, y2] = moved(g); fig.put(key, {x1, y1, x2, y2}); };
  found.sampled.forEach((g, i) => arrow(`sampled${i}`, g));
  arrow("exact", found.exact);
  found.means.forEach((g, i) => { const [cx, cy] = moved(g); fig.put(`dot${i}`, {cx, cy}); });
  fig.put("point", {cx: x1, cy: y1});
  const words = ["cream", "hockey", "donkey"].map((word, i) => `${word} ${shown(found.policy[i])}`).join(", ");
  fig.put("said", {text: `Policy: ${words}; it earns ${shown(found.reward)}. With baseline ${shown(found.baseline)} the ` +
    `mean of ${set.N} has variance ${shown(found.variance)}; the best baseline is ${shown(found.best)}.`});
}, (x, y) => {
  const cream = clip((284 - y) / 260, 0.02, 0.96);
  return {cream, hockey: clip((320 - 150 * cream - x) / (300 * (1 - cream)), 0.02, 0.98)};
});
