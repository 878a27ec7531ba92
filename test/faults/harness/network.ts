/** Connections cut, silent, half-open and slow between any two; consoles that read slowly or not at all. */
import { dealing, shuffled } from './random.ts';
import { NOTICED } from './kills.ts';
import { LATE_FAULT_MS, type Scenario } from './scenario.ts';
import { BAD_WEATHER, type Way } from './way.ts';

const SPELL_MS = { short: 2500, long: 10_000 };

/** What of a house lies between a pair: one of its two ways at a time has bad weather, so that the other can be turned to. */
interface Between {
  readonly name: string;
  readonly about: string;
  /** Names of the ways, of one process each. */
  readonly ways: readonly (readonly string[])[];
  readonly explains?: readonly string[];
  readonly tellsTwice?: true;
  /** So long afterwards a line about it may still come: workers that wait at a silent connection are found dead after 6 s, by looks each 2 s. */
  readonly noticedMs?: number;
}

const both = (role: string, ...ends: readonly string[]): readonly string[][] => [1, 2].map((n) => ends.map((end) => `${role}-${n} ${end}`));

const PAIRS: readonly Between[] = [
  { name: 'device-intake', about: 'devices and an intake process', ways: both('intake', 'mqtt', 'sip-udp', 'sip-tcp') },
  {
    name: 'process-postgres',
    about: 'a process of each role in turn and PostgreSQL',
    ways: [...both('intake', 'postgres'), ...both('escalation', 'postgres'), ...both('console', 'postgres')],
    explains: ['signal-not-acknowledged', 'spill-began', 'spill-not-replayed'],
  },
  {
    name: 'process-redis',
    about: 'a process of each role in turn and Redis',
    ways: [...both('intake', 'redis'), ...both('escalation', 'redis'), ...both('console', 'redis')],
    explains: ['ask-workers-dead'],
    noticedMs: 14_000,
  },
  // An answer that is lost on the way back is asked for again: told twice rather than not.
  { name: 'escalation-gateway', about: 'an escalation process and the SMS gateway', ways: both('escalation', 'gateway'), tellsTwice: true },
  { name: 'console-browser', about: 'a console process and its browsers', ways: both('console', 'browser') },
];

/** Each kind of weather once in a round; the ways take turns, in an order that the dice choose, over all rounds. */
const between = ({ name, about, ways, explains = [], tellsTwice, noticedMs = 0 }: Between): Scenario => ({
  name: `between-${name}`,
  about: `cut, silent, half-open and 200 ms slow between ${about}`,
  explains: [...NOTICED, ...explains],
  lateMs: LATE_FAULT_MS,
  ...(tellsTwice === undefined ? {} : { tellsTwice }),
  async run({ house, rounds, random, pause, recovered }) {
    const seen: string[] = [];
    const next = dealing(ways, random);
    for (let round = 0; round < Math.min(rounds, 10); round++) {
      for (const weather of shuffled(BAD_WEATHER, random)) {
        const names = next();
        const chosen = names.map((one) => house.ways.get(one)).filter((way): way is Way => way !== undefined);
        seen.push(`${weather} ${names[0] ?? ''}`);
        for (const way of chosen) way.weather(weather);
        await pause(rounds > 1 ? SPELL_MS.long : SPELL_MS.short);
        for (const way of chosen) way.weather('clear');
      }
    }
    await recovered();
    await pause(noticedMs);
    return rounds > 1 ? undefined : { note: seen.join(', ') };
  },
});

export const slowConsole: Scenario = {
  name: 'slow-console',
  about: 'one console page reads nothing for 8 s, then all at once; its process is stopped for as long',
  explains: NOTICED,
  lateMs: LATE_FAULT_MS,
  async run({ house, pause, recovered, rounds }) {
    const [first, second] = house.screens;
    const process = house.of('console')[0];
    if (first === undefined || second === undefined || process === undefined) throw new RangeError('a house has two consoles');
    const broken: string[] = [];
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      first.freeze();
      const others = second.heardAt;
      await pause(8000);
      if (second.heardAt === others) broken.push('the other console heard nothing while one did not read');
      first.read();
      process.signal('SIGSTOP');
      await pause(8000);
      process.signal('SIGCONT');
      // Shown on both: the frozen one has caught up.
      await recovered();
    }
    return { broken };
  },
};

export const network: readonly Scenario[] = [...PAIRS.map(between), slowConsole];
