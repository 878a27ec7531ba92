/** Turns a scenario and a seed into the exact list of what happens when: the people's lives are drawn here, before anything is sent. */
import type { Act } from './device.ts';
import { SeededRandom } from './random.ts';
import { membersOf, type Habit, type Person, type Scenario } from './scenario.ts';

export interface PlannedAct {
  /** Scenario milliseconds since the round began. */
  readonly atMs: number;
  readonly device: string;
  readonly act: Act;
  /** `script`, or the person whose doing it is. */
  readonly because: string;
}

const MOST_REPEATS = 3;

/**
 * The plan of one round, in order of time. Pure: the same scenario, seed and round give the same plan.
 * Round 0 holds the script; an endless scenario goes on with rounds in which only the people live on.
 */
export function planRound(scenario: Scenario, seed: number, round = 0): readonly PlannedAct[] {
  const random = new SeededRandom(`${seed} round ${round}`);
  const planned: PlannedAct[] = [];
  if (round === 0) planScript(scenario, random.fork('script'), planned);
  for (const [i, person] of scenario.people.entries()) livePerson(scenario, person, random.fork(`${i} ${person.who}`), planned);
  const end = scenario.lastsSeconds * 1000;
  return planned.filter((act) => act.atMs <= end).toSorted((a, b) => a.atMs - b.atMs);
}

function planScript(scenario: Scenario, random: SeededRandom, planned: PlannedAct[]): void {
  for (const scripted of scenario.script) {
    for (const { id } of membersOf(scenario.devices, scripted.device)) {
      // Drawn in any case, so that another chance does not shift all later draws.
      const happens = random.chance(scripted.chance);
      const atMs = Math.round((scripted.at + random.between(0, scripted.withinSeconds)) * 1000);
      if (happens) planned.push({ atMs, device: id, act: actOf(scripted, scripted.act), because: 'script' });
    }
  }
}

function livePerson(scenario: Scenario, person: Person, random: SeededRandom, planned: PlannedAct[]): void {
  const [shortest, longest] = person.gapSeconds;
  let at = person.from + random.between(shortest, longest);
  while (at <= person.to) {
    const habit = random.weighted(person.does, (one) => one.weight);
    const { id } = random.pick(membersOf(scenario.devices, habit.device));
    const add = (seconds: number, act: Act): void => {
      planned.push({ atMs: Math.round(seconds * 1000), device: id, act, because: person.who });
    };
    add(at, actOf(habit, habit.act));
    let last = at;
    for (let repeats = 0; repeats < MOST_REPEATS && random.chance(habit.again); repeats++) {
      // Nobody came yet: most people wait less than two minutes before they press again.
      last += random.between(15, 110);
      add(last, { name: 'repeat' });
    }
    if (habit.follows !== null) add(last + random.between(...habit.follows.afterSeconds), actOf(habit, habit.follows.act));
    at += Math.max(1, random.between(shortest, longest));
  }
}

const actOf = (deed: Pick<Habit, 'trigger' | 'minutes'>, name: Act['name']): Act => ({
  name,
  ...(deed.trigger === null ? {} : { trigger: deed.trigger }),
  ...(deed.minutes === null ? {} : { minutes: deed.minutes }),
});
