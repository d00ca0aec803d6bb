widget("lake", ({moves, alpha, gamma, epsilon}, {step}) => {
  let q = [...Array(16)].map(() => [0, 0, 0, 0]), move = null, episode = 1;
  for (let n = 0; n < step; n++) {
    const [s, a, s_next, came] = [0, 1, 2, 3].map((i) => i < 3 ? parseInt(moves[4 * n + i], 16) : moves[4 * n + i]);
    const reward = came === "g" ? 1 : 0, ended = came === "g" || came === "h", discount = ended ? 0 : gamma, before = q;
    q = q_learning_update(before, s, a, reward, s_next, alpha, discount);
    if (n === step - 1) {
      const eps = linear(...epsilon, n);
      move = {s, a, reward, s_next, ended, epsilon: eps, probability: epsilon_greedy(before[s], eps)[a], old: before[s][a],
        next: Math.max(...before[s_next]), target: q_target(reward, before[s_next], discount), new: q[s][a], episode};
    }
    episode += came !== ".";
  }
  return {q, move};
}, (fig, {q, move}, {step}) => {
  const small = (x) => x ? shown(x, 3).replace(/^0/, "").slice(0, 4) : "0";
  const middle = (s) => [50 + 80 * (s % 4), 50 + 80 * Math.floor(s / 4)];
  const actions = ["Left", "Down", "Right", "Up"];
  q.forEach((row, s) => row.forEach((x, a) => fig.parts[`q${s}-${a}`] && fig.put(`q${s}-${a}`, {text: small(x)})));
  const {s, a, s_next} = move ?? {s: 0, a: 0, s_next: 0}, [x1, y1] = middle(s), [x2, y2] = middle(s_next);
  fig.put("way", {x1, y1, x2, y2});
  fig.put("agent", {cx: x2, cy: y2});
  fig.put("mark", {off: !move, x: x1 + [-39, 2, 3, -38][a], y: y1 + [4, 22, -21, -38][a]});
  const target = move && shown(move.reward, 0) + (move.ended ? "" : ` + ${fig.data.gamma} · ${shown(move.next, 4)}`);
  fig.put("said", {text: move ? `Step ${step}, episode ${move.episode}: ${actions[a]} from s${s} to s${s_next}, reward ` +
    `${shown(move.reward, 0)}. With epsilon ${shown(move.epsilon)} this move had probability ${shown(move.probability)}. ` +
    `Q(s${s}, ${actions[a]}) = ${shown(move.old, 4)} + ${fig.data.alpha} (${target} − ${shown(move.old, 4)}) = ` +
    `${shown(move.new, 4)}.` : "Nothing has happened yet: the agent is at the start, and every entry of Q is 0."});
});
