/** What a SCAIP message means, by the model of the device that sent it (SS 91100; reference § 2, tables 2.1 and 2.2). Pure. */
import type { Meaning, Position, SignalMark } from '../alarms/signal.ts';
import { storable } from '../base/bytes.ts';
import type { CallerId, ScaipRequest } from '../protocols/scaip/message.ts';
import type { ScaipMessage } from '../protocols/scaip/receive.ts';
import { type Interpretation, type InterpretedSignal, SEEN, type SeenFacts, UNKNOWN, UNREADABLE } from './interpretation.ts';
import type { CodeMeaning, ContractType, DeviceModel } from './model.ts';
import { codesAsWritten } from './scaip-codes.ts';

type Core = Pick<Meaning, 'role' | 'kind' | 'priority' | 'about'>;
/** `unknown`: `mty` is none of the four. */
type MessageType = 'ME' | 'RE' | 'IN' | 'PI' | 'unknown';

/** Manual alarm: what an alarm message without `stc` says. */
const MANUAL_ALARM = 10;
const TEST_TRANSMISSIONS: readonly (number | null)[] = [102, 103];
/** More than is kept raw; the same figure as for MQTT payloads. */
const KEPT_BYTES = 8 * 1024;

/** What interpretation reads of a SCAIP message. */
export type InterpretableScaip = Pick<ScaipMessage, 'request' | 'ref' | 'raw' | 'cut' | 'identityMismatch'>;

/** Interprets one message. Never throws, and never makes nothing of a message: what is not understood is shown. */
export function interpretScaip(message: InterpretableScaip, model: DeviceModel): Interpretation {
  const { request } = message;
  if (request === null) return unread(message);
  const type = messageType(request);
  const status = request.stc === null ? (type === 'ME' ? MANUAL_ALARM : null) : request.stc.value;
  const test = TEST_TRANSMISSIONS.includes(status);
  // The message type decides: heartbeats come with all sorts of status codes.
  if (type === 'PI') return lifeSign(request, test ? 'test' : 'heartbeat');
  if (type === 'unknown' || (request.stc !== null && status === null)) return signal(message, request, UNKNOWN);
  if (status === null) return type === 'IN' ? information(message, request) : signal(message, request, restored(undefined, request, model));
  const means = lookUp(type, status, request, model);
  if (means?.role === 'test') return lifeSign(request, 'test');
  return signal(message, request, means === null ? UNKNOWN : coreOf(type, means, request, model));
}

function messageType({ mty }: ScaipRequest): MessageType {
  return mty === null ? 'ME' : (mty.value ?? 'unknown');
}

function lookUp(type: MessageType, status: number, { dty, lco }: ScaipRequest, model: DeviceModel): CodeMeaning | null {
  const fits = (codes: readonly number[] | undefined, given: number | null | undefined): boolean =>
    codes === undefined || (typeof given === 'number' && codes.includes(given));
  const exception = model.exceptions.find(
    (one) => (one.mty?.includes(type) ?? true) && fits(one.stc, status) && fits(one.dty, dty?.value) && fits(one.lco, lco?.value),
  );
  return exception?.means ?? model.statuses.get(status) ?? null;
}

function coreOf(type: MessageType, means: CodeMeaning, request: ScaipRequest, model: DeviceModel): Core {
  const sensor = sensorOf(request, model);
  switch (means.role) {
    case 'need':
      if (type === 'RE') return restored(means.kind, request, model);
      if (means.kind !== undefined) return { role: 'need', kind: means.kind, priority: means.priority ?? UNKNOWN.priority };
      if (sensor === undefined) return UNKNOWN;
      if (sensor.role === 'technical') return { role: 'technical', kind: sensor.kind, priority: 'technical' };
      return { role: 'need', kind: sensor.kind, priority: means.priority ?? sensor.priority };
    case 'technical':
      if (type === 'RE') return restored(means.kind, request, model, means.about);
      return { role: 'technical', kind: means.kind ?? 'fault', priority: 'technical', ...aboutOf(means.about) };
    case 'restore':
      return restored(means.kind, request, model, means.about);
    case 'cancel':
      return type === 'RE'
        ? restored(undefined, request, model)
        : { role: 'cancel', kind: sensor?.kind ?? 'unknown', priority: 'information' };
    case 'presence':
    case 'information':
      return { role: means.role, kind: sensor?.kind ?? 'unknown', priority: 'information' };
    case 'test':
      return UNKNOWN;
  }
}

/** A reset: of the kind that the status tells, else of the sensor's; of neither it is shown like any unknown. */
function restored(kind: ContractType | undefined, request: ScaipRequest, model: DeviceModel, about?: string): Core {
  const of = kind ?? sensorOf(request, model)?.kind;
  return of === undefined ? UNKNOWN : { role: 'restore', kind: of, priority: 'information', ...aboutOf(about) };
}

const aboutOf = (about: string | undefined): { about?: string } => (about === undefined ? {} : { about });

/** A unit that does not tell its type counts as one of type "unknown" (0), which the table has. */
const sensorOf = ({ dty }: ScaipRequest, model: DeviceModel) => (dty?.value === null ? undefined : model.sensors.get(dty?.value ?? 0));

/** An update that tells a place or nothing is a sign of life; one with words, an info code or elements that nobody knows is kept. */
function information(message: InterpretableScaip, request: ScaipRequest): Interpretation {
  const { ite, ico, stt, unknown } = request;
  if (ite === null && ico === null && stt === null && unknown.length === 0)
    return lifeSign(request, positionOf(request) === null ? 'status' : 'position');
  return signal(message, request, { role: 'information', kind: 'unknown', priority: 'information' });
}

function lifeSign(request: ScaipRequest, sort: 'heartbeat' | 'status' | 'position' | 'test'): Interpretation {
  return { what: 'life-sign', messageId: text(request.ref, 64), sort, seen: seenOf(request, sort === 'test') };
}

function unread({ ref, raw, cut, identityMismatch }: InterpretableScaip): InterpretedSignal {
  const marks: SignalMark[] = [];
  if (cut || raw.length > KEPT_BYTES) marks.push('too-large');
  if (identityMismatch) marks.push('identity-mismatch');
  return { what: 'signal', messageId: text(ref, 64), meaning: { ...UNREADABLE, trigger: '' }, marks, seen: { ...SEEN, via: 'scaip' } };
}

function signal({ identityMismatch }: InterpretableScaip, request: ScaipRequest, core: Core): InterpretedSignal {
  const position = positionOf(request);
  const voice = voiceOf(request.crd);
  const said = [request.stt, request.ite, request.lte].filter((one) => one !== null && one !== '').join(' · ');
  const marks: SignalMark[] = [];
  const messageId = text(request.ref, 64);
  if (messageId === null) marks.push('no-id');
  if (core === UNKNOWN) marks.push('unknown-code');
  if (identityMismatch) marks.push('identity-mismatch');
  const meaning: Meaning = {
    ...core,
    trigger: triggerOf(request),
    ...(position === null ? {} : { position }),
    ...(voice === null ? {} : { voice }),
    ...(said === '' ? {} : { text: storable(said, 256) }),
    code: codesAsWritten(request),
  };
  return { what: 'signal', messageId, meaning, marks, seen: seenOf(request, false) };
}

const text = (value: string | null, limit: number): string | null => (value === null || value === '' ? null : storable(value, limit));

/** `did`; zeros are the unit itself. */
const triggerOf = ({ did }: ScaipRequest): string => (did === null || /^0*$/.test(did) ? '' : storable(did, 64));

function positionOf({ lge }: ScaipRequest): Position | null {
  const degrees = lge?.geo?.value ?? lge?.gga?.value ?? null;
  const at = lge?.tim?.value ?? null;
  return degrees === null ? null : { lat: degrees.lat, lon: degrees.lon, ...(at === null ? {} : { at }) };
}

/** What an operator can call: the first address or number that the device gave. */
function voiceOf(callers: readonly CallerId[]): string | null {
  for (const { scheme, target } of callers) {
    if (target === null) continue;
    if ((scheme === 'sip' || scheme === 'sips') && /^[\x21-\x7e]{1,250}$/.test(target)) return `${scheme}:${target}`;
    // RFC 3966: people and devices write digits in groups.
    const digits = target.replace(/[\s.()/-]/g, '');
    if ((scheme === 'tel' || scheme === 'gsm') && /^\+?\d{3,20}$/.test(digits)) return `tel:${digits}`;
  }
  return null;
}

function seenOf(request: ScaipRequest, test: boolean): SeenFacts {
  const id = triggerOf(request);
  return {
    ...SEEN,
    via: 'scaip',
    position: positionOf(request),
    test,
    triggers: id === '' ? [] : [{ id, battery: null, seenAt: 'now', test }],
  };
}
