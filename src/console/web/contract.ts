/** What the centre's HTTP and socket answers look like to the browser (interfaces.md); instants are RFC 3339 texts. */
import type { PersonCommand, Role } from '../../alarms/command.ts';
import type { AlarmView, TimelineView } from '../../alarms/view.ts';
import type { CredentialState } from '../../devices/credentials.ts';
import type { Silence } from '../../devices/silence.ts';
import type { ShownProvisional } from '../direct.ts';
import type { ServerMessage } from '../feed-messages.ts';

export interface Session {
  readonly account: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly municipalities: readonly string[];
}

export interface Centre {
  readonly name: string;
  readonly phone: string;
  readonly demo: boolean;
}

/** RFC 9457, with what the centre adds: `by` stands in the way, `command` is what to run. */
export interface Problem {
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly by?: string;
  readonly command?: string;
  /** Seconds, of `Retry-After`. */
  readonly retryAfter?: number;
}

/** What is answered to a provisional number as long as it is one. */
export interface StillProvisional {
  readonly provisional: ShownProvisional;
}
export const isProvisionalAnswer = (answer: StillProvisional | AlarmView): answer is StillProvisional => 'provisional' in answer;

export type AlarmWithTimeline = AlarmView & { readonly timeline: readonly TimelineView[] };

/** What is sent to `…/commands`; the server finds the recipients of a dispatch. */
export type OrderedCommand = Exclude<PersonCommand, { command: 'dispatch' }> | { readonly command: 'dispatch'; readonly to: string };
export type CommandBody = OrderedCommand & { readonly version: number; readonly key: string; readonly doneAt?: string };

export interface CardResident {
  readonly id: string;
  readonly name: string;
  readonly born: string | null;
  readonly age: number | null;
  readonly phone: string | null;
  readonly language: string | null;
  readonly hearing: string | null;
  readonly health: string | null;
  readonly away: string | null;
  readonly notes: string | null;
}

export interface CardContact {
  readonly name: string;
  readonly relation: string | null;
  readonly phone: string | null;
  readonly hasKey: boolean;
  readonly rank: number;
}

export interface CardTrigger {
  readonly id: string;
  readonly name: string | null;
  readonly room: string | null;
  readonly seenAt?: string | null;
  readonly battery?: number | null;
}

export interface CardHousehold {
  readonly id: string;
  readonly name: string;
  readonly address: string | null;
  readonly postcode: string | null;
  readonly place: string | null;
  readonly zone: string | null;
  readonly lat: number | null;
  readonly lon: number | null;
  readonly access: Readonly<Record<string, string | null>>;
  readonly notes: string | null;
}

export interface ActionPlan {
  readonly title: string;
  readonly prompt: string | null;
  readonly steps: readonly { readonly text: string; readonly required: boolean }[];
}

export interface CardView {
  readonly household: CardHousehold | null;
  readonly residents: readonly CardResident[];
  readonly contacts: readonly CardContact[];
  readonly device: {
    readonly serial: string;
    readonly model: string | null;
    readonly protocol: string;
    readonly lastSeenAt: string | null;
    readonly battery: number | null;
    readonly triggers: readonly CardTrigger[];
  } | null;
  readonly trigger: CardTrigger | null;
  readonly earlier: readonly AlarmView[];
  readonly raw: { readonly text: string | null; readonly hex: string } | null;
  readonly actionPlan: ActionPlan | null;
}

export interface DutyPerson {
  readonly account: string;
  readonly name: string;
  readonly since: string | null;
  readonly until: string | null;
}
export interface DutyTeam {
  readonly id: string;
  readonly name: string;
  readonly onDuty: readonly DutyPerson[];
}
export interface Duty {
  readonly me: { readonly onDuty: boolean; readonly team: string | null; readonly until: string | null } | null;
  readonly teams: readonly DutyTeam[];
  /** `last-on-duty`: after this order somewhere nobody is left. */
  readonly warning?: string;
}
export interface DutyCommand {
  readonly command: 'on' | 'off' | 'take-over';
  readonly team?: string;
  readonly from?: string;
  readonly until?: string;
  readonly account?: string;
}

export interface DispatchTarget {
  readonly to: string;
  readonly name: string;
  readonly kind: 'team' | 'person';
  readonly onDuty: number;
  readonly proposed: boolean;
}

export interface DeviceRow {
  readonly serial: string;
  readonly municipality: string;
  readonly householdName: string | null;
  readonly model: string | null;
  readonly protocol: string;
  readonly state: string;
  readonly lastSeenAt: string | null;
  readonly battery: number | null;
  readonly mains: boolean | null;
  readonly online: boolean | null;
  readonly silence: Silence;
  readonly credentials: CredentialState;
  /** Since when the unit has not acknowledged a reply. */
  readonly replyUnacknowledgedAt: string | null;
  readonly triggers: readonly (CardTrigger & { readonly silence: Silence })[];
  readonly refusals: readonly RefusalCount[];
}
export interface RefusalCount {
  readonly code: string;
  readonly count: number;
  readonly lastAt: string;
}
export interface DeviceList {
  readonly devices: readonly DeviceRow[];
  readonly refusals: readonly (RefusalCount & { readonly protocol: string; readonly source: string })[];
  readonly next?: string | null;
}

const MESSAGE_TYPES = {
  snapshot: true,
  resumed: true,
  alarm: true,
  gone: true,
  pulse: true,
  blind: true,
  provisional: true,
  'provisional-alarm': true,
  'provisional-replayed': true,
  pong: true,
} satisfies Record<ServerMessage['type'], true>;

/** Reads one socket message; null for what this console does not know (a newer server may say more). */
export function readSocketMessage(text: string): ServerMessage | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') return null;
  return Object.hasOwn(MESSAGE_TYPES, value.type) ? (value as ServerMessage) : null;
}

const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** Reads a problem document, or makes one of an answer that is none. */
export function readProblem(status: number, body: unknown, retryAfter: string | null): Problem {
  const said = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const by = textOf(said['by']);
  const command = textOf(said['command']);
  const seconds = retryAfter === null ? Number.NaN : Number(retryAfter);
  return {
    status,
    code: textOf(said['code']) ?? 'unexpected',
    detail: textOf(said['detail']) ?? textOf(said['title']) ?? '',
    ...(by === null ? {} : { by }),
    ...(command === null ? {} : { command }),
    ...(Number.isFinite(seconds) ? { retryAfter: seconds } : {}),
  };
}
