/** Alarms, accounts, roster and desk on the real stores, with the ladders that are shipped, for tests of escalation. */
import path from 'node:path';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { createDesk, type Desk } from '../../src/alarms/desk.ts';
import type { AlarmEvent } from '../../src/alarms/event.ts';
import type { Meaning } from '../../src/alarms/signal.ts';
import type { Clock } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { loadEscalation } from '../../src/escalation/configuration.ts';
import { createDuty, type Duty } from '../../src/escalation/duty.ts';
import { type Escalation, ladderFor } from '../../src/escalation/ladder.ts';
import { loadMunicipalities } from '../../src/people/centre.ts';
import { createKeeper, type Keeper } from '../../src/intake/keep.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import type { Postgres } from '../../src/store/postgres.ts';
import { createRosterStore } from '../../src/store/roster.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { signal } from './alarms.ts';
import { SILENT } from './stores.ts';

export const CONFIG = path.join(import.meta.dirname, '../../config');
export const MUNICIPALITIES = loadMunicipalities(CONFIG).map(({ number }) => number);

export interface Escalating {
  readonly escalation: Escalation;
  readonly desk: Desk;
  readonly duty: Duty;
  readonly keeper: Keeper;
  /** A signal of that household; the number of the alarm that it opened or joined. */
  press(household: string, more?: { municipality?: string; zone?: string; meaning?: Partial<Meaning> }): Promise<string>;
  /** Accounts as the demonstration has them; phones +4790000001 (natt) and so on. */
  people(): Promise<void>;
  /** The timeline in short words, from the version after `since`. */
  told(number: string, since?: number): Promise<string[]>;
}

const PEOPLE: readonly [string, string[], string[], string][] = [
  ['natt', ['responder'], ['*'], '+4790000001'],
  ['natt2', ['responder'], ['*'], '+4790000002'],
  ['leder', ['supervisor', 'operator'], ['*'], '+4790000003'],
  ['operator2', ['operator'], ['*'], '+4790000004'],
];

export function escalating(postgres: Postgres, clock: Clock, escalation: Escalation = loadEscalation(CONFIG, MUNICIPALITIES)): Escalating {
  const desk = createDesk({ store: createAlarmStore(postgres, () => undefined), clock, random: systemRandom });
  const keeper = createKeeper({
    store: createSignalStore(postgres, () => undefined),
    ladderFor: (about) => ladderFor(escalation, about),
    keyOf: joiningKey,
    log: SILENT,
  });
  return {
    escalation,
    desk,
    keeper,
    duty: createDuty({ escalation, store: createRosterStore(postgres), clock }),
    async press(household, { municipality = '1103', zone = 'Hundvåg', meaning = {} } = {}) {
      const now = clock.now();
      const id = receiptId(now, systemRandom);
      const receipt = await keeper.keep(
        signal(meaning, {
          id,
          receivedAt: now,
          messageId: id,
          raw: Buffer.from(id),
          source: `mqtt:D-${household}`,
          device: `D-${household}`,
          municipality,
          household: { id: household, name: 'Åse Ødegård', zone },
        }),
      );
      if (receipt.alarm === null) throw new Error('the signal was only kept');
      return receipt.alarm;
    },
    async people() {
      for (const [username, roles, municipalities, phone] of PEOPLE) {
        const text =
          'insert into account (username, name, password_hash, roles, municipalities, phone, created_at) values ($1, $1, $2, $3, $4, $5, $6)';
        await postgres.pool.query(text, [username, '-', roles, municipalities, phone, new Date(clock.now())]);
      }
    },
    async told(number, since = 0) {
      const rows = await postgres.pool.query<{ event: AlarmEvent }>(
        'select event from timeline where alarm = $1 and version > $2 order by version',
        [number, since],
      );
      return rows.rows.map(({ event }) => inShort(event));
    },
  };
}

function inShort(event: AlarmEvent): string {
  switch (event.event) {
    case 'dispatched':
    case 'told': {
      const whom = event.recipients.map(({ account, asks }) => `${account}(${asks.map(({ channel }) => channel).join('+')})`);
      return `${event.event} ${event.rung ?? '-'} to ${event.to}: ${whom.join(', ')}`;
    }
    case 'nobody-on-duty':
      return `nobody-on-duty ${event.rung}`;
    case 'deadline-passed':
      return `passed ${event.what}`;
    case 'ask-sent':
    case 'ask-delivered':
      return `${event.event} ${event.account} ${event.channel}`;
    case 'ask-failed':
      return `${event.event} ${event.account} ${event.channel} ${event.why}`;
    default:
      return event.event;
  }
}
