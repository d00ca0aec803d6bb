"""The drone of document 004, 1.3, as a Gymnasium environment: thrust in two directions, wind, a tree, a battery.

Seen from above, a field of 10 m by 10 m.  The drone starts at the left, the target is at the right, a tree stands
between them; where exactly is drawn for each episode.  An action is a thrust a in [-1, 1]^2, and

    wind   <-  0.95 wind + 0.05 (wind of this episode) + gust,     at most 2 m/s^2 a direction
    speed  <-  speed + DT (4 a + wind - speed / 2),     place  <-  place + DT speed,     battery  <-  battery
               - DT (0.02 + 0.03 |a|^2)

DT is a tenth of a second.  An episode terminates with the target reached (within 0.6 m), with a crash (the tree, the
edge of the field) or with an empty battery; after 200 steps it is cut off.

    reward  =  1 for the target, -1 for a crash or an empty battery, - 0.005 (1 + |a|^2) for each step
               + 0.99 phi(s') - phi(s),     phi = - distance to the target / 10 m

The last part is a potential, which leaves the best policy as it is at gamma = 0.99 (rlscratch.mdp.shaping); phi is 0
where an episode terminates.

What is observed, each number in [-1, 1]: place, speed, the way to the target, the way to the tree, battery.  The wind
is not.  In DroneWithoutSpeed-v0 the speed is not, either, and the observation is no longer a state; in
DroneTwoFrames-v0 the last two observations stand side by side, from which the speed can be read again.

    gymnasium.make("rlscratch.train.control.drone:rlscratch/Drone-v0")

Leaves out: height, orientation, the camera of the document.
"""
import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers

from rlscratch import check
from rlscratch.check import Array

FIELD, DT, NEAR, TREE, MOST_WIND, GAMMA = 10.0, 0.1, 0.6, 1.2, 2.0, 0.99
FASTEST = (4.0 + MOST_WIND) * 2         # m/s, where thrust and wind balance the drag
PIXELS = 100


class Drone(gymnasium.Env):
    """The environment.

    wind         standard deviation of an episode's wind, in m/s^2; gusts are a quarter of it
    speed        whether the observation has the speed
    render_mode  "ansi", a map of letters, or "rgb_array", a picture (100, 100, 3); None for neither
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 10}    # noqa: RUF012 (Gymnasium's)

    def __init__(self, wind: float = 0.7, speed: bool = True, render_mode: str | None = None) -> None:
        self.wind_of = check.non_negative(wind=wind)
        check.one_of((None, *self.metadata["render_modes"]), render_mode=render_mode)
        self.sees_speed, self.render_mode = bool(speed), render_mode
        self.action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = gymnasium.spaces.Box(-1, 1, (9 if speed else 7,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Array, dict[str, Any]]:
        """A new place, target, tree and wind."""
        super().reset(seed=seed)
        draw = self.np_random.uniform
        self.x, self.y = 1.0, draw(2, 8)
        self.target = (9.0, draw(2, 8))
        self.tree = (draw(4.5, 5.5), draw(3, 7))
        self.vx = self.vy = 0.0
        self.battery = 1.0
        self.mean_wind = (self.wind_of * self.np_random.normal(size=2)).tolist()
        self.wind = [max(-MOST_WIND, min(MOST_WIND, w)) for w in self.mean_wind]
        return self._observed(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Raises ValueError or TypeError for a thrust that is none or out of bounds, ResetNeeded before `reset`."""
        self._begun()
        thrust = check.real(action=check.array(ndim=1, action=action))
        check.entries_between(-1, 1, action=check.shape((2,), "a thrust in two directions", action=thrust))
        ax, ay = map(float, thrust)
        gusts = (self.wind_of / 4 * self.np_random.normal(size=2)).tolist()
        self.wind = [max(-MOST_WIND, min(MOST_WIND, 0.95 * w + 0.05 * m + g))
                     for w, m, g in zip(self.wind, self.mean_wind, gusts, strict=True)]
        before = self._distance()
        self.vx += DT * (4 * ax + self.wind[0] - self.vx / 2)
        self.vy += DT * (4 * ay + self.wind[1] - self.vy / 2)
        self.x, self.y = self.x + DT * self.vx, self.y + DT * self.vy
        energy = ax * ax + ay * ay
        self.battery = max(0.0, self.battery - DT * (0.02 + 0.03 * energy))
        out = not (0 <= self.x <= FIELD and 0 <= self.y <= FIELD)
        crash = out or math.hypot(self.x - self.tree[0], self.y - self.tree[1]) < TREE
        reached = not crash and self._distance() < NEAR
        over = crash or reached or self.battery == 0
        self.x, self.y = min(max(self.x, 0.0), FIELD), min(max(self.y, 0.0), FIELD)
        after = 0.0 if over else self._distance()
        paid = 1.0 if reached else -1.0 if over else 0.0
        reward = paid - 0.005 * (1 + energy) + (before - GAMMA * after) / FIELD
        return self._observed(), reward, over, False, {"reached": reached, "crash": crash}

    def render(self) -> Any:
        """The map as it is; None without a render_mode."""
        if self.render_mode == "ansi":
            return "\n".join("".join(row) for row in self._map(20, ".").tolist())
        if self.render_mode == "rgb_array":
            colours = {".": (235, 240, 235), "T": (0, 158, 115), "o": (0, 114, 178), "G": (230, 159, 0)}
            letters = self._map(PIXELS, ".")
            picture = np.empty((PIXELS, PIXELS, 3), np.uint8)
            for letter, colour in colours.items():
                picture[letters == letter] = colour
            return picture
        return None

    def _map(self, n: int, ground: str) -> Array:
        """(n, n) letters, north up: T the tree, G the target, o the drone."""
        self._begun()
        y, x = np.mgrid[n - 1:-1:-1, 0:n] * FIELD / n + FIELD / (2 * n)
        letters = np.full((n, n), ground)
        for letter, place, radius in (("T", self.tree, TREE), ("G", self.target, NEAR), ("o", (self.x, self.y), 0.36)):
            letters[np.hypot(x - place[0], y - place[1]) <= radius] = letter
        return letters

    def _begun(self) -> None:
        if not hasattr(self, "x"):
            raise gymnasium.error.ResetNeeded("the drone is nowhere yet; call reset first")

    def _distance(self) -> float:
        return math.hypot(self.x - self.target[0], self.y - self.target[1])

    def _observed(self) -> Array:
        speed = (self.vx / FASTEST, self.vy / FASTEST) if self.sees_speed else ()
        return np.array((
            2 * self.x / FIELD - 1, 2 * self.y / FIELD - 1, *speed,
            (self.target[0] - self.x) / FIELD, (self.target[1] - self.y) / FIELD,
            (self.tree[0] - self.x) / FIELD, (self.tree[1] - self.y) / FIELD, 2 * self.battery - 1), np.float32)


def two_frames(**options: Any) -> gymnasium.Env:
    """The drone without its speed, its last two observations as one row."""
    return wrappers.FlattenObservation(wrappers.FrameStackObservation(Drone(speed=False, **options), 2))


gymnasium.register("rlscratch/Drone-v0", f"{__name__}:Drone", max_episode_steps=200)
gymnasium.register("rlscratch/DroneWithoutSpeed-v0", f"{__name__}:Drone", max_episode_steps=200,
                   kwargs={"speed": False})
gymnasium.register("rlscratch/DroneTwoFrames-v0", f"{__name__}:two_frames", max_episode_steps=200)
