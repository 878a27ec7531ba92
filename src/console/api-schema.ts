/** The shapes that the API answers with, as schemas: for the OpenAPI document, and for tests to hold real answers against. */
import { z } from 'zod';
import { STATES, WAITS } from '../alarms/alarm.ts';
import { ROLES } from '../alarms/command.ts';
import { EVENT_NAMES } from '../alarms/event.ts';
import { KINDS, PRIORITIES } from '../alarms/signal.ts';
import { CREDENTIAL_STATES } from '../devices/credentials.ts';
import { SILENCES } from '../devices/silence.ts';
import { PROBLEM_CODES } from './problem.ts';

const instant = z.iso.datetime();
const text = z.string();

const POSITION = z.strictObject({ lat: z.number(), lon: z.number(), accuracy: z.number().optional(), at: instant.optional() });

export const ALARM_VIEW = z.object({
  number: text,
  version: z.int(),
  municipality: text,
  device: text,
  trigger: text,
  signalCount: z.int(),
  duplicateCount: z.int(),
  state: z.enum(STATES),
  priority: z.enum(PRIORITIES).exclude(['information']),
  kind: z.enum(KINDS),
  household: z.object({ id: text, name: text, zone: text }).nullable(),
  openedAt: instant,
  lastSignalAt: instant,
  lastSignalVersion: z.int(),
  claimedBy: text.nullable(),
  claimedAt: instant.nullable(),
  contact: z.object({ by: text, at: instant, how: text }).nullable(),
  closable: z.boolean(),
  dispatchedTo: text.nullable(),
  responder: text.nullable(),
  etaAt: instant.nullable(),
  asked: z.array(text),
  declined: z.array(text),
  nextDeadline: z.object({ at: instant, what: z.enum(WAITS) }).nullable(),
  ladder: z.object({ id: text, climbed: z.int(), round: z.int(), exhausted: z.boolean(), nobodyOnDuty: z.boolean() }),
  attention: z.object({ sounds: z.enum(['everyone', 'owner', 'nobody']), warned: z.boolean(), interrupted: z.boolean() }),
  position: POSITION.nullable(),
  voice: text.nullable(),
  text: text.nullable(),
  restoredAt: instant.nullable(),
  cancelledAt: instant.nullable(),
  report: z.object({ by: text, at: instant, outcome: text }).nullable(),
  follows: text.nullable(),
  unreadable: z.boolean(),
  unknownDevice: z.boolean(),
  closedAt: instant.nullable(),
  closedBy: text.nullable(),
  outcome: text.nullable(),
});

const TIMELINE_VIEW = z.object({
  version: z.int(),
  at: instant,
  doneAt: instant.nullable(),
  actor: z.union([
    z.object({ type: z.literal('person'), account: text, roles: z.array(z.enum(ROLES)) }),
    z.object({ type: z.literal('centre'), part: text }),
  ]),
  event: z.looseObject({ event: z.enum(EVENT_NAMES) }),
  deadlines: z.partialRecord(z.enum(WAITS), instant.nullable()),
});

/** While PostgreSQL is away: kept by intake, shown as it came. Its number is an alias of the alarm that it becomes. */
export const PROVISIONAL = z.object({
  number: text,
  municipality: text,
  device: text,
  household: z.object({ id: text, name: text, zone: text }).nullable(),
  kind: z.enum(KINDS),
  priority: z.enum(PRIORITIES).exclude(['information']),
  trigger: text,
  receivedAt: instant,
  text: text.nullable(),
  voice: text.nullable(),
  unreadable: z.boolean(),
  claimedBy: text.nullable(),
  claimedAt: instant.nullable(),
  lost: z.boolean(),
});
const STILL_PROVISIONAL = z.object({ provisional: PROVISIONAL });

export const ALARM_WITH_TIMELINE = ALARM_VIEW.extend({
  timeline: z.array(TIMELINE_VIEW),
  /** Of a very long timeline: entries between its beginning and the newest that are not given. */
  timelineLeftOut: z.number().int().positive().optional(),
});
/** The alarm, or what it is as long as it is provisional. */
export const ALARM_OR_PROVISIONAL = z.union([ALARM_WITH_TIMELINE, STILL_PROVISIONAL]);
export const ORDERED = z.union([ALARM_VIEW, STILL_PROVISIONAL]);
export const ALARM_LIST = z.object({ alarms: z.array(ALARM_VIEW), feed: text, next: text.optional() });

export const SESSION = z.object({ account: text, name: text, roles: z.array(z.enum(ROLES)), municipalities: z.array(text) });
export const CENTRE = z.object({ name: text, phone: text, demo: z.boolean() });

const TRIGGER = z.object({ id: text, name: text, room: text, seenAt: instant.nullable(), battery: z.int().nullable() });

export const CARD = z.object({
  household: z
    .object({
      id: text,
      name: text,
      address: text,
      postcode: text,
      place: text,
      zone: text,
      lat: z.number().nullable(),
      lon: z.number().nullable(),
      access: z.record(z.string(), text),
      notes: text,
    })
    .nullable(),
  residents: z.array(
    z.object({
      id: text,
      name: text,
      born: z.iso.date().nullable(),
      age: z.int().nullable(),
      phone: text,
      language: text,
      hearing: text,
      health: text,
      away: text,
      notes: text,
    }),
  ),
  contacts: z.array(z.object({ name: text, relation: text, phone: text, hasKey: z.boolean(), rank: z.int() })),
  device: z
    .object({
      serial: text,
      model: text,
      protocol: text,
      lastSeenAt: instant.nullable(),
      battery: z.int().nullable(),
      triggers: z.array(TRIGGER),
    })
    .nullable(),
  trigger: z.object({ id: text, name: text, room: text }).nullable(),
  earlier: z.array(ALARM_VIEW),
  raw: z.object({ text, hex: text }).nullable(),
  actionPlan: z.object({ title: text, prompt: text.nullable(), steps: z.array(z.object({ text, required: z.boolean() })) }).nullable(),
});
export type Card = z.infer<typeof CARD>;

export const OPENINGS = z.object({
  openings: z.array(z.object({ at: instant, account: text, role: text, alarm: text.nullable(), why: text })),
});

const ON_DUTY = z.object({ account: text, name: text, since: instant.nullable(), until: instant.nullable() });
export const DUTY = z.object({
  me: z.object({ onDuty: z.boolean(), team: text.nullable(), until: instant.nullable() }).nullable(),
  teams: z.array(z.object({ id: text, name: text, onDuty: z.array(ON_DUTY) })),
  warning: z.literal('last-on-duty').optional(),
});
export const DISPATCH_TARGETS = z.object({
  targets: z.array(z.object({ to: text, name: text, kind: z.enum(['team', 'person']), onDuty: z.int(), proposed: z.boolean() })),
});

const REFUSED = z.object({ code: text, count: z.int(), lastAt: instant });
export const DEVICES = z.object({
  devices: z.array(
    z.object({
      serial: text,
      municipality: text,
      householdName: text.nullable(),
      model: text,
      protocol: text,
      state: text,
      lastSeenAt: instant.nullable(),
      battery: z.int().nullable(),
      mains: z.boolean().nullable(),
      online: z.boolean().nullable(),
      silence: z.enum(SILENCES),
      credentials: z.enum(CREDENTIAL_STATES),
      replyUnacknowledgedAt: instant.nullable(),
      triggers: z.array(TRIGGER.extend({ silence: z.enum(SILENCES) })),
      refusals: z.array(REFUSED),
    }),
  ),
  refusals: z.array(REFUSED.extend({ protocol: text, source: text })),
  next: text.optional(),
});
export type DevicePage = z.infer<typeof DEVICES>;

export const READINESS = z.object({
  ready: z.boolean(),
  /** `ageSeconds`: of the canary, the seconds since a test alarm last came through over each protocol, also while all is well. */
  components: z.record(z.string(), z.object({ ok: z.boolean(), reason: text.optional(), ageSeconds: z.number().int().min(0).optional() })),
});
export type Readiness = z.infer<typeof READINESS>;
export const ALIVE = z.object({ alive: z.literal(true) });

export const PROBLEM = z.object({
  type: text,
  title: text,
  status: z.int(),
  detail: text,
  code: z.enum(PROBLEM_CODES),
  by: text.optional(),
  command: text.optional(),
  errors: z.array(z.object({ field: text, message: text })).optional(),
});

/** By the names that they have in the OpenAPI document. */
export const NAMED_SCHEMAS = {
  AlarmView: ALARM_VIEW,
  AlarmWithTimeline: ALARM_WITH_TIMELINE,
  AlarmOrProvisional: ALARM_OR_PROVISIONAL,
  Ordered: ORDERED,
  ProvisionalAlarm: PROVISIONAL,
  AlarmList: ALARM_LIST,
  Session: SESSION,
  Centre: CENTRE,
  Card: CARD,
  Openings: OPENINGS,
  Duty: DUTY,
  DispatchTargets: DISPATCH_TARGETS,
  Devices: DEVICES,
  Readiness: READINESS,
  Alive: ALIVE,
  Problem: PROBLEM,
} as const;
