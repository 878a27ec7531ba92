/** Signals that make processing fail: bytes of liars, and one that PostgreSQL itself refuses. Each harms itself alone. */
import { HOUSEHOLDS, type House, PROBES } from './house.ts';
import { MqttWire } from '../../../simulators/load/mqtt-wire.ts';
import { RunningClock } from '../../../src/base/clock.ts';
import { LATE_CALM_MS, type Scenario } from './scenario.ts';

const REFUSED = 'refuse-me';
/** Of one household that the load leaves alone. */
const DEVICE = `F-${HOUSEHOLDS + PROBES}`;

const BYTES = [
  '{"id":"a","type":"fall","text":"\\u0000"}',
  '{"id":"\\u0000","type":"\\u0000","trigger":"\\u0000\\ud800"}',
  '{"id":"b","type":"fall","text":"\\ud800 alone","position":{"lat":1e999,"lon":"x"}}',
  '{"id":{"a":[1]},"type":{},"text":[],"battery":1e400,"at":"9999999-01-01"}',
  '['.repeat(3000),
  '',
  '\u0000\u0000',
  // A real fault of the store: the trigger below refuses this one, as it would a value that no rule of ours foresaw.
  `{"id":"${REFUSED}","type":"call-button"}`,
];

/** PostgreSQL says 22P05 (no such character) of one message id; signals that shared its transaction must not suffer. */
const REFUSING = `
create function refuse_poison() returns trigger language plpgsql as $$
begin
  if new.message_id = '${REFUSED}' then raise exception 'poison' using errcode = '22P05'; end if;
  return new;
end $$;
create trigger refuse_poison before insert on signal for each row execute function refuse_poison();`;

export const poison: Scenario = {
  name: 'poisoned-signal',
  about: 'bytes that cannot be processed, and a signal that PostgreSQL refuses, among all others',
  // Each poisoned one is told: that is how it is found.
  explains: ['signal-processing-failed'],
  lateMs: LATE_CALM_MS,
  async run({ house, rounds, pause, recovered }) {
    await house.stores.sql(REFUSING);
    const errors = house.errors.length;
    const broken: string[] = [];
    let kept = 0;
    try {
      for (let round = 0; round < Math.min(rounds, 20); round++) {
        for (const bytes of BYTES) {
          if (await acknowledged(house, bytes)) kept += 1;
          else broken.push(`not acknowledged: ${bytes.slice(0, 30)}`);
          await pause(150);
        }
      }
    } finally {
      await house.stores.sql('drop trigger refuse_poison on signal; drop function refuse_poison();');
    }
    if (!house.errors.slice(errors).some(({ event }) => event === 'signal-processing-failed')) {
      broken.push('no signal made its processing fail');
    }
    const rows = await house.stores.sql<{ count: number }>(
      `select count(*)::int as count from signal where source like '%${DEVICE}' and alarm is not null`,
    );
    if ((rows[0]?.count ?? 0) < kept) broken.push(`${kept} poisoned ones acknowledged, ${rows[0]?.count ?? 0} in an alarm`);
    await recovered();
    return { broken, note: `${kept} poisoned ones kept as bytes` };
  },
};

async function acknowledged(house: House, payload: string): Promise<boolean> {
  const login = { clientId: DEVICE, username: DEVICE, password: 'demo-device' };
  for (const { mqtt } of [...house.doors, ...house.doors]) {
    try {
      const wire = await MqttWire.open('127.0.0.1', mqtt, login, new RunningClock(), { within: 5000 });
      const at = await new Promise<number | null>((resolve) => {
        const late = setTimeout(() => wire.close(), 5000);
        wire.publish(`nj/v1/1103/${DEVICE}/alarm`, payload, (when) => {
          clearTimeout(late);
          resolve(when);
        });
      });
      wire.close();
      if (at !== null) return true;
    } catch {
      // The other one, then.
    }
  }
  return false;
}
