const short = (x) => x >= 999.5 ? "> 999" : signed(x, Math.abs(x) < 9.995 ? 2 : Math.abs(x) < 99.95 ? 1 : 0);

widget("brake", ({ref, rewards}, {beta}) => {
  const policy = kl_optimal_policy(ref, rewards, beta);
  const each = (k) => policy.map((p, i) => k(Math.log(p), Math.log(ref[i])));
  const [k1, k2, k3] = [kl_k1, kl_k2, kl_k3].map(each);
  return {policy, reward: expected_reward(policy, rewards), kl: kl(policy, ref), k1, k2, k3,
    objective: kl_objective(policy, ref, rewards, beta), means: {k1: dot(policy, k1), k2: dot(policy, k2), k3: dot(policy, k3)}};
}, (fig, found, {beta}) => {
  found.policy.forEach((p, i) => {
    fig.put(`bar${i}`, {width: 88 * p});
    fig.put(`p${i}`, {text: shown(p), x: 78 + 88 * Math.max(p, fig.data.ref[i]) + 4});
    for (const k of ["k1", "k2", "k3"]) fig.put(`${k}-${i}`, {text: short(found[k][i])});
  });
  for (const k of ["k1", "k2", "k3"]) fig.put(k, {text: signed(found.means[k])});
  fig.put("point", {cx: 34 + 320 * found.kl, cy: 312 - 190 * (found.reward - 0.4)});
  fig.put("said", {text: `Beta ${shown(beta)}: the best policy earns ${shown(found.reward, 3)} and is ` +
    `${shown(found.kl, 3)} nats from the reference, which costs ${shown(beta * found.kl, 3)}. What is left: ` +
    `${shown(found.objective, 3)}.`});
});
