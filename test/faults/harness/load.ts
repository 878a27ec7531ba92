/** What goes on all the time: devices press, repeat and send twice; operators and a responder handle some of it. */
import type { AlarmView } from '../../../src/alarms/view.ts';
import { HOUSEHOLDS, type House } from './house.ts';
import { type Person, type Screen } from './people.ts';
import { dice } from './random.ts';
import { MqttUnit, ScaipUnit, type Unit } from './units.ts';

export interface Load {
  /** Messages acknowledged since the start. */
  acknowledged(): number;
  /** No new messages for now; what is under way goes on, and people go on working. */
  hold(held: boolean): void;
  /** No new messages; resolves when what is under way is acknowledged or given up. */
  stop(): Promise<void>;
}

const CREWS = 6;
/** Messages a second, all crews together. */
const RATE = 3;
/** Alarms are handled at once (some), or left to the ladder for so long. */
const HANDLED_AT_ONCE = 0.3;
const LEFT_FOR_MS = { least: 9000, most: 22_000 };
const ACCEPTED_BY_RESPONDER = 0.3;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function startLoad(house: House, seed: number): Load {
  const { doors, ledger } = house;
  const options = { doors, ledger };
  const units: Unit[] = Array.from({ length: HOUSEHOLDS }, (_, n) => [
    new MqttUnit(`F-${n}`, options),
    new ScaipUnit(String(7000 + n), n % 2 === 0 ? 'udp' : 'tcp', options),
  ]).flat();
  const random = dice(seed);
  const run = Math.floor(Date.now() / 1000).toString(36);
  let count = 0;
  let over = false;
  let held = false;
  let acknowledged = 0;
  const stopped = (): boolean => over;
  const nextId = (): string => `${run}${(++count).toString(36)}`;

  const crews = Array.from({ length: CREWS }, async () => {
    for (;;) {
      await pause((CREWS / RATE) * 1000 * (0.5 + random()));
      if (over) return;
      if (held) continue;
      const unit = take();
      const id = nextId();
      if (await unit.press(id, stopped)) acknowledged += 1;
      // The device did not trust its memory: the same bytes again.
      if (random() < 0.15) await unit.press(id, stopped);
      // The same need again.
      if (random() < 0.2 && (await unit.press(nextId(), stopped))) acknowledged += 1;
      units.push(unit);
    }
  });
  const staff = [...house.operators.map((person, n) => atWork(person, n)), respond(house.responder)];

  /** The one that rested longest, as a rule. */
  function take(): Unit {
    const [unit] = units.splice(Math.floor(random() * Math.min(20, units.length)), 1);
    if (unit === undefined) throw new RangeError('no device is free');
    return unit;
  }

  /** Goes through what its screen shows, each alarm in its time. */
  async function atWork(person: Person, n: number): Promise<void> {
    const screen = house.screens[n % house.screens.length];
    const dueAt = new Map<string, number>();
    while (!over) {
      await pause(100);
      for (const alarm of openOn(screen)) {
        if (Number(alarm.number) % house.operators.length !== n) continue;
        const wait = random() < HANDLED_AT_ONCE ? 500 : LEFT_FOR_MS.least + random() * (LEFT_FOR_MS.most - LEFT_FOR_MS.least);
        if (!dueAt.has(alarm.number)) dueAt.set(alarm.number, performance.now() + wait);
        if (over || performance.now() < (dueAt.get(alarm.number) ?? Infinity)) continue;
        await handle(person, alarm);
        // What was refused (overtaken by a repeat) gets another turn.
        dueAt.set(alarm.number, performance.now() + 2000);
      }
    }
  }

  async function handle(person: Person, { number, claimedBy }: AlarmView): Promise<void> {
    const order = (command: string, more: object = {}) => person.order(number, { command, ...more }, stopped);
    const claimed = await order('claim');
    if (claimed?.status !== 200 && claimedBy !== person.account) return;
    await order('note', { text: `Notat ${nextId()}` });
    await order('confirm-contact', { how: 'voice' });
    await order('close', { outcome: 'helped-by-voice' });
  }

  async function respond(person: Person): Promise<void> {
    const seen = new Set<string>();
    while (!over) {
      await pause(300);
      for (const alarm of openOn(house.screens[0])) {
        if (over || alarm.state !== 'dispatched' || seen.has(alarm.number)) continue;
        seen.add(alarm.number);
        if (random() > ACCEPTED_BY_RESPONDER) continue;
        if ((await person.order(alarm.number, { command: 'accept' }, stopped))?.status !== 200) continue;
        await person.order(alarm.number, { command: 'arrive' }, stopped);
      }
    }
  }

  return {
    acknowledged: () => acknowledged,
    hold: (now) => (held = now),
    async stop() {
      over = true;
      await Promise.all([...crews, ...staff]);
      await Promise.all(units.map((unit) => unit.close()));
    },
  };
}

/** Of the load's own devices, oldest first. */
const openOn = (screen: Screen | undefined): AlarmView[] =>
  [...(screen?.alarms.values() ?? [])]
    .filter(({ state, device }) => state !== 'closed' && /^(F-\d\d?|70\d\d)$/.test(device))
    .toSorted((a, b) => Number(a.number) - Number(b.number));
