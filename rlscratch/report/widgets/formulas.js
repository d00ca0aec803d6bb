// The formulas that the figures compute with, by their names in rlscratch.formulas, where each is derived.
// A test computes the same settings in both languages.
const sum = (row) => row.reduce((total, x) => total + x, 0);
const dot = (a, b) => sum(a.map((x, i) => x * b[i]));
const clip = (x, low, high) => Math.min(Math.max(x, low), high);

// ---- distribution
const log_softmax = (logits, temperature = 1) => {
  const highest = Math.max(...logits), z = logits.map((x) => (x - highest) / temperature);
  const log_total = Math.log(sum(z.map(Math.exp)));
  return z.map((x) => x - log_total);
};
const softmax = (logits, temperature = 1) => log_softmax(logits, temperature).map(Math.exp);
const entropy = (logits) => -sum(log_softmax(logits).map((logp) => logp === -Infinity ? 0 : Math.exp(logp) * logp));

const MARGIN = 1e-6; // decimals are thresholds, floats are masses: .25 + .20 + .18 + .15 + .12 reaches .9
const renormalised = (probs, keep) => {
  const kept = probs.map((p, i) => keep[i] ? p : 0), total = sum(kept);
  return kept.map((p) => p / total);
};
const descending = (probs) => probs.map((_, i) => i).sort((i, j) => probs[j] - probs[i] || i - j);
const top_k = (probs, k) => {
  const first = descending(probs).slice(0, k);
  return renormalised(probs, probs.map((_, i) => first.includes(i)));
};
const top_p = (probs, p) => {
  const keep = probs.map(() => p === 1);
  let before = 0;
  for (const i of descending(probs)) {
    keep[i] ||= before === 0 || before < p - MARGIN;
    before += probs[i];
  }
  return renormalised(probs, keep);
};
const min_p = (probs, p) => {
  const least = p * (1 - MARGIN) * Math.max(...probs);
  return renormalised(probs, probs.map((x) => x >= least));
};
const repetition_penalty = (logits, previous, penalty) =>
  logits.map((z, i) => previous.includes(i) ? (z > 0 ? z / penalty : z * penalty) : z);

const expected_reward = (probs, rewards) => dot(probs, rewards);

const expected_reward_grad = (logits, rewards) => {
  const p = softmax(logits), mean = expected_reward(p, rewards);
  return p.map((x, j) => x * (rewards[j] - mean));
};

// ---- td
const q_target = (reward, q_next, discount) => reward + discount * Math.max(...q_next);
const q_learning_update = (q, s, a, reward, s_next, alpha, discount) => q.map((row, i) => i !== s ? row
  : row.map((x, j) => j === a ? x + alpha * (q_target(reward, q[s_next], discount) - x) : x));
const epsilon_greedy = (q, epsilon) => { // ties share
  const best = q.map((x) => x === Math.max(...q)), ties = sum(best.map(Number));
  return best.map((greedy) => epsilon / q.length + (greedy ? (1 - epsilon) / ties : 0));
};
const linear = (first, last, steps, t) => first + (last - first) * Math.min(t / steps, 1);

// ---- policy_gradient
const score = (logits, action) => softmax(logits).map((p, j) => (j === action) - p);
const log_derivative_estimate = (scores, coefficients) =>
  scores[0].map((_, j) => dot(coefficients, scores.map((each) => each[j])) / scores.length);

// ---- kl
const kl = (p, q) => sum(p.map((x, i) => x === 0 ? 0 : x * (Math.log(x) - Math.log(q[i]))));
const kl_k1 = (logp_policy, logp_ref) => logp_policy - logp_ref;
const kl_k2 = (logp_policy, logp_ref) => kl_k1(logp_policy, logp_ref) ** 2 / 2;
const kl_k3 = (logp_policy, logp_ref) => Math.expm1(-kl_k1(logp_policy, logp_ref)) + kl_k1(logp_policy, logp_ref);
const kl_objective = (probs, ref, rewards, beta) => expected_reward(probs, rewards) - beta * kl(probs, ref);
const kl_optimal_policy = (ref, rewards, beta) => softmax(ref.map((q, a) => Math.log(q) + rewards[a] / beta));

// ---- grpo
const group_advantage = (rewards, ddof, center_only) => {
  const mean = sum(rewards.map((r) => r - rewards[0])) / rewards.length;
  const centred = rewards.map((r) => r - rewards[0] - mean);
  if (center_only || centred.every((x) => x === 0)) return centred; // a flat group teaches nothing
  const std = Math.sqrt(dot(centred, centred) / (rewards.length - ddof));
  return centred.map((x) => x / std);
};
const leave_one_out_advantage = (rewards) => rewards.map((r) => r - (sum(rewards) - r) / (rewards.length - 1));
const grpo_grad = (advantage, weight) => -weight * advantage;

// ---- ppo
const ratio = (logp, logp_old) => Math.exp(logp - logp_old);
const clip_ratio = (rho, eps_low, eps_high) => clip(rho, 1 - eps_low, 1 + eps_high);
const dead = (rho, advantage, eps_low, eps_high) => {
  const clipped = clip_ratio(rho, eps_low, eps_high);
  return rho > clipped && advantage > 0 || rho < clipped && advantage < 0;
};
const ppo_clip_loss = (logp, logp_old, advantage, weight, eps_low, eps_high) => {
  const rho = ratio(logp, logp_old);
  return -weight * advantage * (dead(rho, advantage, eps_low, eps_high) ? clip_ratio(rho, eps_low, eps_high) : rho);
};
const ppo_clip_grad = (logp, logp_old, advantage, weight, eps_low, eps_high) => {
  const rho = ratio(logp, logp_old);
  return dead(rho, advantage, eps_low, eps_high) ? 0 : -weight * advantage * rho;
};

// ---- kernels: causal attention of one head, queries and keys (T, D)
const attention_weights = (q, k) => q.map((query, i) =>
  softmax(k.map((key, j) => j <= i ? dot(query, key) / Math.sqrt(key.length) : -Infinity)));

// ---- bpe: pieces of text as bytes; the neighbours whose merge was learned first are merged, until none is left
const PIECE = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;
const encode = (text, merges) => (text.match(PIECE) ?? []).flatMap((piece) => {
  const ids = [...new TextEncoder().encode(piece)];
  for (;;) {
    const ranks = ids.slice(1).map((b, i) => merges.findIndex((pair) => pair[0] === ids[i] && pair[1] === b));
    const known = ranks.filter((rank) => rank >= 0);
    if (!known.length) return ids;
    const first = Math.min(...known);
    ids.splice(ranks.indexOf(first), 2, 256 + first);
  }
});
const token_bytes = (id, merges) => id < 256 ? [id] : merges[id - 256].flatMap((half) => token_bytes(half, merges));

// ---- train.language.over_optimisation
const smoothed = (column, window) =>
  column.slice(window - 1).map((_, i) => sum(column.slice(i, i + window)) / window);

// ---- drawing with a seed
// kernels.draw: the least j with p[0] + ... + p[j] > u; the last possible one where rounding leaves the sum below u.
const draw = (probs, u) => {
  let mass = 0;
  for (let j = 0; j < probs.length; j++) {
    mass += probs[j];
    if (mass > u) return j;
  }
  return probs.findLastIndex((p) => p > 0);
};
// mulberry32 (Tommy Ettinger, public domain): a state of 32 bits; the n-th number depends on seed and n alone.
const uniform = (seed, n) => {
  let t = (seed + Math.imul(n + 1, 0x6D2B79F5)) | 0;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
};

const formulas = {
  log_softmax, softmax, entropy, top_k, top_p, min_p, repetition_penalty, expected_reward, expected_reward_grad,
  q_target, q_learning_update, epsilon_greedy, score, log_derivative_estimate, kl, kl_k1, kl_k2, kl_k3,
  kl_objective, kl_optimal_policy, group_advantage, leave_one_out_advantage, grpo_grad, ratio, clip_ratio, dead,
  ppo_clip_loss, ppo_clip_grad, attention_weights, encode, smoothed, draw, uniform};
