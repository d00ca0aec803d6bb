widget("group", (data, set) => {
  const rewards = [...Array(set.G)].map((_, i) => set[`r${i}`]), mean = sum(rewards) / set.G;
  const ddof = set.kind === "0" ? 0 : 1;
  const advantages = set.kind === "others" ? leave_one_out_advantage(rewards)
    : group_advantage(rewards, ddof, set.kind === "center");
  return {mean, std: Math.sqrt(sum(rewards.map((r) => (r - mean) ** 2)) / (set.G - ddof)), advantages,
    pushes: advantages.map((A) => -grpo_grad(A, 1 / set.G))};
}, (fig, {mean, std, advantages, pushes}, set) => {
  const long = 46, widest = Math.max(...advantages.map(Math.abs)) || 1;
  for (let i = 0; i < 8; i++) {
    const off = i >= set.G, reward = long * set[`r${i}`] / 10, far = long * (advantages[i] ?? 0) / widest;
    fig.put(`name${i}`, {off});
    fig.put(`reward${i}`, {off, x: 72 + Math.min(reward, 0), width: Math.abs(reward)});
    fig.put(`bar${i}`, {off, x: 186 + Math.min(far, 0), width: Math.abs(far)});
    fig.put(`a${i}`, {off, text: signed(advantages[i] ?? 0)});
    fig.put(`push${i}`, {off, text: signed(pushes[i] ?? 0, 3)});
    fig.control(`r${i}`).parentElement.hidden = off;
  }
  fig.put("mean", {x1: 72 + long * mean / 10, x2: 72 + long * mean / 10});
  const best = advantages.indexOf(Math.max(...advantages)), worst = advantages.indexOf(Math.min(...advantages));
  fig.put("said", {text: `Mean ${shown(mean)}, standard deviation ${shown(std)}. ` + (advantages.some((A) => A)
    ? `Answer ${best + 1} is pushed up by ${shown(pushes[best], 3)}, answer ${worst + 1} down by ${shown(-pushes[worst], 3)}.`
    : "The group is flat: nobody is better than another, and nothing is learned.")});
}, (x, y, set) => ({[`r${clip(Math.floor((y - 24) / 26), 0, set.G - 1)}`]: clip(Math.round((x - 72) / 2.3) / 2, -10, 10)}));
