"""The documents' prompts with a handful of answers each: a bandit, because nothing follows an answer.

    ice-cream          "I like ice ___"                    document 002, PPO and GRPO
    capital-of-france  "What's the capital of France?"     document 003, "Step-by-Step Example"
    pasta              "How do I cook pasta?"              document 003, "Another Example"
    programming        "How do I learn programming?"       document 003, "The Learning Loop (Detailed)"

Each comes with the probabilities that the document starts from, and as an MDP of one step: state x is
the prompt x, action y the answer y, R(x, y) its reward, and the state after the last prompt ends
every episode.  So the exact values and gradients of rlscratch.mdp are those of the bandit, and

    J = sum_x start(x) sum_y pi(y|x) R(x, y)                                             (1)

is equation (6) of formulas.distribution, which no policy brings above max_y R(x, y) for each x.

TEXTS has the first two again, as ice-cream-text and capital-of-france-text, for a policy that writes:

    R(x, y) = what the table says of y, and for every other text the least that the table has      (2)

so "Paris, of course" earns what "Banana" does, 0, and "creamy" what "donkey" does, -10.  The upper bound
of (1) stays.  `answers` is empty, as for every task that takes any text; the table is table_of(task).

Their teacher draws from the probabilities of before().  So a perfect imitator earns J under those, 1.67
and .43: it has learned which answers there are, and nothing of which are good.  That is in the rewards
alone, and with them nothing keeps training below 10 and 1.

Leaves out: held-out prompts, for with one prompt a task there is nothing to carry over to.
"""
import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.mdp import MDP
from rlscratch.tasks.task import Task


def listed(name: str, prompt: str, rewards: dict[str, float]) -> Task:
    """A task of one prompt, whose answers and their rewards are a table; right is what earns most."""
    best = max(rewards.values())
    return Task(name, (prompt,), lambda _, answer: rewards[answer], lambda _, answer: rewards[answer] == best,
                tuple(rewards))


def one_step(task: Task, gamma: float = 1.0) -> MDP:
    """Equation (1) as an MDP: a state for each prompt, an action for each answer, and a terminal state.

    task   with a list of answers; its prompts are equally likely
    gamma  in [0, 1]; nothing follows an answer, so it changes nothing

    >>> [table.round(2).tolist() for table in one_step(TASKS["ice-cream"]).solve()]
    [[[10.0, 5.0, -10.0], [0.0, 0.0, 0.0]], [10.0, 0.0]]
    """
    if not task.answers:
        check.fail("task.answers", task.answers, f"a list of answers; {task.name} takes any text")
    prompts, answers = len(task.prompts), len(task.answers)
    end = np.eye(prompts + 1)[prompts]
    reward = np.zeros((prompts + 1, answers))
    reward[:prompts] = [task.rewards([prompt] * answers, task.answers) for prompt in task.prompts]
    return MDP(np.broadcast_to(end, (prompts + 1, answers, prompts + 1)), reward, gamma, (1 - end) / prompts, end)


def before(task: Task) -> Array:
    """(Y,): how likely each listed answer is before training; equally, unless the document says otherwise."""
    task = table_of(task)
    return np.array(BEFORE.get(task.name) or [1 / len(task.answers)] * len(task.answers))


def text(table: Task) -> Task:
    """Equation (2): a task of one prompt and a list of answers, for a policy that may write any text.

    >>> ice = TEXTS["ice-cream-text"]
    >>> [ice.reward("I like ice ___", answer) for answer in ("cream", "donkey", "creamy", "")]
    [10.0, -10.0, -10.0, -10.0]
    """
    answers = table.answers
    lowest = table.rewards(table.prompts * len(answers), answers).min()

    def reward(prompt: str, answer: str) -> float:
        return table.reward(prompt, answer) if answer in answers else lowest

    def teacher(_: str, rng: np.random.Generator) -> str:
        return answers[rng.choice(len(answers), p=before(table))]

    def right(prompt: str, answer: str) -> bool:
        return answer in answers and table.check(prompt, answer)

    return Task(table.name + ANY, table.prompts, reward, right, teacher=teacher)


def table_of(task: Task) -> Task:
    """The task with the list of answers behind one of TEXTS; any other task is its own.

    >>> table_of(TEXTS["ice-cream-text"]).answers
    ('cream', 'hockey', 'donkey')
    """
    return TASKS[task.name.removesuffix(ANY)] if task.name in TEXTS else task


TASKS: dict[str, Task] = {task.name: task for task in (
    listed("ice-cream", "I like ice ___", {"cream": 10.0, "hockey": 5.0, "donkey": -10.0}),
    listed("capital-of-france", "What's the capital of France?",
           {"Paris": 1.0, "London": 0.0, "Banana": 0.0, "I don't know": 0.3}),
    listed("pasta", "How do I cook pasta?",
           {"Boil water, add pasta, cook 8-12 minutes": 0.9, "Pasta is bad for you": 0.1,
            "I love spaghetti!": 0.2, "Buy it from store": 0.4}),
    listed("programming", "How do I learn programming?",
           {"Just Google it": 0.2, "Programming is hard, give up": 0.0,
            "Start with Python basics, try online courses like Codecademy": 0.7,
            "Begin with simple projects, practice daily, join coding communities": 0.9}),
)}
BEFORE = {"capital-of-france": (0.4, 0.3, 0.2, 0.1), "pasta": (0.3, 0.3, 0.2, 0.2)}
ANY = "-text"
TEXTS: dict[str, Task] = {task.name: task for task in map(text, (TASKS["ice-cream"], TASKS["capital-of-france"]))}
