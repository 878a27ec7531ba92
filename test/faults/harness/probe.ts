/** Asks whether everything works: a device presses, both consoles show it, help is ordered, and a telephone rings. */
import { HOUSEHOLDS, type House, PROBES } from './house.ts';
import { MqttUnit, ScaipUnit } from './units.ts';

/** Milliseconds from the press until each was true; null: not in time. */
export interface Probed {
  readonly acknowledged: number | null;
  readonly shown: number | null;
  readonly asked: number | null;
}

const AT_MOST_MS = 60_000;
let presses = 0;

/** One press now. Each stage waits for as long as it takes, a minute in all. */
export async function probe(house: House): Promise<Probed> {
  const n = HOUSEHOLDS + (presses++ % PROBES);
  const options = { doors: house.doors, ledger: house.ledger };
  const unit = presses % 2 === 0 ? new ScaipUnit(String(7000 + n), 'udp', options) : new MqttUnit(`F-${n}`, options);
  const began = performance.now();
  const since = (): number => Math.round(performance.now() - began);
  const over = (): boolean => performance.now() - began > AT_MOST_MS;
  const [operator] = house.operators;
  const [screen] = house.screens;
  try {
    if (operator === undefined || screen === undefined) throw new RangeError('a house has operators and screens');
    if (!(await unit.press(`probe${Date.now().toString(36)}`, over))) return { acknowledged: null, shown: null, asked: null };
    const acknowledged = since();
    const seen = (): boolean => house.screens.every(({ shown }) => (shown.get(unit.name) ?? 0) >= began);
    if (!(await until(seen, over))) return { acknowledged, shown: null, asked: null };
    const shown = since();
    const number = [...screen.alarms.values()].findLast(({ device, state }) => device === unit.name && state !== 'closed')?.number ?? '';
    const before = house.gateway.messages().length;
    const ordered = await operator.order(number, { command: 'dispatch', to: 'nattpatrulje' }, over);
    const about = new RegExp(`\\b${number}\\b`);
    const rang = (): boolean =>
      house.gateway
        .messages()
        .slice(before)
        .some(({ text }) => about.test(text));
    const asked = ordered?.status === 200 && (await until(rang, over)) ? since() : null;
    await operator.order(number, { command: 'confirm-contact', how: 'voice' }, over);
    await operator.order(number, { command: 'close', outcome: 'helped-by-voice' }, over);
    return { acknowledged, shown, asked };
  } finally {
    await unit.close();
  }
}

/** False when `over` first. */
export async function until(holds: () => boolean, over: () => boolean): Promise<boolean> {
  while (!holds()) {
    if (over()) return false;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return true;
}
