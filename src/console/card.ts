/** The alarm's card: who, where, how to get in, whom to call, what came before; put together after its opening was written down. */
import type { AlarmView } from '../alarms/view.ts';
import type { Role } from '../alarms/command.ts';
import { readable } from '../base/bytes.ts';
import { type Clock, type Instant, fromIso, toIso } from '../base/clock.ts';
import type { ActionPlans } from '../people/action-plans.ts';
import { type Viewer, sightOf } from '../people/access.ts';
import { type CardOpening, type Contact, type Household, type Resident, ageOn } from '../people/household.ts';
import type { Card } from './api-schema.ts';

export type CardDevice = NonNullable<Card['device']>;

/** What the card needs of the store. All @throws CentreError store-away. */
export interface CardStore {
  /** Writes the opening down; committed when it resolves. */
  opened(household: string, opening: CardOpening): Promise<void>;
  household(id: string): Promise<Household | null>;
  residents(household: string): Promise<readonly Resident[]>;
  contacts(household: string): Promise<readonly Contact[]>;
  device(serial: string): Promise<CardDevice | null>;
  /** Other alarms of the household (of the device, where no household is known), the latest first. */
  earlier(about: EarlierOf, limit: number): Promise<readonly AlarmView[]>;
  /** The bytes of the alarm's latest signal. */
  newestRaw(number: string): Promise<Uint8Array | null>;
  /** The latest first. */
  openings(household: string, limit: number): Promise<readonly CardOpening[]>;
}

export interface EarlierOf {
  readonly number: string;
  readonly household: string | null;
  readonly device: string;
  readonly municipality: string;
}

const EARLIER_SHOWN = 20;

/** The role in which the viewer opens the card; null when they have lost sight of the alarm meanwhile. */
function roleFor(viewer: Viewer, alarm: AlarmView, now: Instant): Role | null {
  return sightOf(viewer, { ...alarm, closedAt: alarm.closedAt === null ? null : fromIso(alarm.closedAt) }, now);
}

/** Technicians come for the device: what they need is the home and its access, not who lives there and how they are. */
const forTechnician = (resident: Card['residents'][number]): Card['residents'][number] => ({
  ...resident,
  born: null,
  age: null,
  health: '',
});

export interface CardParts {
  readonly cards: CardStore;
  readonly actionPlans: ActionPlans;
  readonly clock: Clock;
}

/**
 * The card of an alarm that the viewer sees. The opening is in the store before anything is read: what was shown was
 * logged, whatever fails afterwards.
 * @throws CentreError store-away
 */
export async function openCard(parts: CardParts, viewer: Viewer, alarm: AlarmView, why: string): Promise<Card | null> {
  const { cards, actionPlans, clock } = parts;
  const now = clock.now();
  const role = roleFor(viewer, alarm, now);
  if (role === null) return null;
  const id = alarm.household?.id ?? null;
  if (id !== null) await cards.opened(id, { at: now, account: viewer.account, role, alarm: alarm.number, why });
  const puzzling = alarm.unreadable || alarm.unknownDevice || alarm.kind === 'unknown';
  const [household, residents, contacts, device, earlier, raw] = await Promise.all([
    id === null ? null : cards.household(id),
    id === null ? [] : cards.residents(id),
    id === null ? [] : cards.contacts(id),
    cards.device(alarm.device),
    cards.earlier({ number: alarm.number, household: id, device: alarm.device, municipality: alarm.municipality }, EARLIER_SHOWN),
    puzzling ? cards.newestRaw(alarm.number) : null,
  ]);
  const trigger = device?.triggers.find((one) => one.id === alarm.trigger);
  const today = toIso(now).slice(0, 10);
  const people = residents.map((one) => ({ ...one, age: one.born === null ? null : ageOn(today, one.born) }));
  return {
    household: household === null ? null : homeOf(household),
    residents: role === 'technician' ? people.map(forTechnician) : people,
    contacts: [...contacts],
    device,
    trigger: alarm.trigger === '' ? null : { id: alarm.trigger, name: trigger?.name ?? '', room: trigger?.room ?? '' },
    earlier: role === 'technician' ? earlier.filter(({ priority }) => priority === 'technical').map(asRead) : earlier.map(asRead),
    raw: raw === null ? null : { text: readable(raw), hex: Buffer.from(raw).toString('hex') },
    actionPlan: planOf(actionPlans, alarm),
  };
}

/** The view's read-only lists as the card's schema has them. */
const asRead = (view: AlarmView): Card['earlier'][number] => structuredClone(view) as Card['earlier'][number];

function homeOf({ id, name, address, postcode, place, zone, lat, lon, access, notes }: Household): Card['household'] {
  return { id, name, address, postcode, place, zone, lat, lon, access: { ...access }, notes };
}

function planOf(plans: ActionPlans, { kind }: AlarmView): Card['actionPlan'] {
  const plan = plans[kind];
  return plan === undefined ? null : { ...plan, steps: [...plan.steps] };
}
