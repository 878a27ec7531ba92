/** What a message of the platform's MQTT contract means, by the model of the device that sent it. Pure. */
import type { Meaning, Position, Priority, SignalMark } from '../alarms/signal.ts';
import { storable } from '../base/bytes.ts';
import { type Milliseconds, minutes } from '../base/clock.ts';
import type { MqttFields, MqttMessage, MqttPosition, UpKind } from '../protocols/mqtt/message.ts';
import {
  type Interpretation,
  type InterpretedSignal,
  SEEN,
  type SeenFacts,
  type SeenTrigger,
  UNKNOWN,
  UNREADABLE,
} from './interpretation.ts';
import type { CodeMeaning, ContractType, DeviceModel } from './model.ts';

/** A clock ahead by more is off; one behind may belong to a message that waited for its network. */
const AHEAD: Milliseconds = minutes(2);
const BEHIND: Milliseconds = minutes(24 * 60);

/** Interprets one message. Never throws, and never makes nothing of a message: what is not understood is shown. */
export function interpretMqtt(message: MqttMessage, model: DeviceModel): Interpretation {
  const { body, kind } = message;
  if (kind === null || !body.read) return unread(message);
  switch (kind) {
    case 'alarm':
      return alarm(message, body, model);
    case 'restore':
      return signal(message, body, restoreMeaning(body.type, model));
    case 'presence':
      return signal(message, body, { role: 'presence', kind: knownKind(body.type, model) ?? 'nurse-call', priority: 'information' });
    case 'heartbeat':
    case 'status':
    case 'position':
    case 'test':
      return { what: 'life-sign', messageId: body.id, sort: kind, seen: seenOf(message, body) };
  }
}

type Core = Pick<Meaning, 'role' | 'kind' | 'priority'>;

/** An id under a foreign topic is no id of this device's messages, and what is unreadable shows none. */
function unread(message: MqttMessage): InterpretedSignal {
  const { body, topic, kind, foreign, tooLarge, will } = message;
  const marks: SignalMark[] = [];
  if (foreign) marks.push('foreign-topic');
  else if (kind === null) marks.push('unknown-code');
  if (tooLarge) marks.push('too-large');
  const code = kind === null || body.read ? `topic ${topic}` : body.why;
  const seen = { ...SEEN, via: 'mqtt', alive: !will } as const;
  return {
    what: 'signal',
    messageId: null,
    meaning: { ...UNREADABLE, trigger: '', code: storable(code, 256) },
    marks: [...marks, ...guarantee(message)],
    seen,
  };
}

function alarm(message: MqttMessage, body: MqttFields, model: DeviceModel): InterpretedSignal {
  const core = alarmMeaning(body.type, model);
  if (body.id !== null) return signal(message, body, core ?? UNKNOWN);
  // The contract shows an alarm without id as unreadable; what it is about keeps it from sinking below its urgency.
  const priority: Priority = core?.priority === 'life' ? 'life' : UNREADABLE.priority;
  return signal(message, body, { ...UNREADABLE, priority });
}

/** Null: a type that neither the model nor the contract knows. */
function alarmMeaning(type: string | null, model: DeviceModel): Core | null {
  const meaning = lookUp(type, model);
  if (meaning === null) return null;
  const { kind, means } = meaning;
  if (means.role === 'need') return { role: 'need', kind, priority: means.priority ?? UNKNOWN.priority };
  if (means.role === 'technical') return { role: 'technical', kind, priority: 'technical' };
  return { role: 'information', kind, priority: 'information' };
}

/** A restore joins what is open, and ends only a technical alarm; of an unknown type it is shown like any unknown. */
function restoreMeaning(type: string | null, model: DeviceModel): Core {
  const kind = knownKind(type, model);
  return kind === null ? UNKNOWN : { role: 'restore', kind, priority: 'information' };
}

const knownKind = (type: string | null, model: DeviceModel): ContractType | null => lookUp(type, model)?.kind ?? null;

function lookUp(type: string | null, model: DeviceModel): { readonly kind: ContractType; readonly means: CodeMeaning } | null {
  const word = type?.toLowerCase();
  const means = word === undefined ? undefined : model.types.get(word);
  if (means === undefined) return null;
  return { kind: ('kind' in means ? means.kind : undefined) ?? (word as ContractType), means };
}

function signal(message: MqttMessage, body: MqttFields, core: Core): InterpretedSignal {
  const { id, at, type, trigger, position, voice, text, battery } = body;
  const meaning: Meaning = {
    ...core,
    trigger: trigger ?? '',
    ...(at === null ? {} : { deviceAt: at }),
    ...(position === null ? {} : { position: positionOf(position) }),
    ...(voice === null ? {} : { voice }),
    ...(text === null ? {} : { text }),
    ...(battery === null ? {} : { battery }),
    ...(type === null ? {} : { code: type }),
  };
  const marks: SignalMark[] = [];
  if (id === null) marks.push('no-id');
  if (core.kind === 'unknown') marks.push('unknown-code');
  if (at !== null && (at - message.receivedAt > AHEAD || message.receivedAt - at > BEHIND)) marks.push('clock-off');
  return { what: 'signal', messageId: id, meaning, marks: [...marks, ...guarantee(message)], seen: seenOf(message, body) };
}

const GUARANTEED: readonly (UpKind | null)[] = ['alarm', 'restore', 'presence'];
const guarantee = ({ qos, will, kind }: MqttMessage): SignalMark[] =>
  qos === 0 && !will && GUARANTEED.includes(kind) ? ['sent-without-guarantee'] : [];

function positionOf({ lat, lon, accuracy, at }: MqttPosition): Position {
  return { lat, lon, ...(accuracy === null ? {} : { accuracy }), ...(at === null ? {} : { at }) };
}

function seenOf({ will, kind }: MqttMessage, body: MqttFields): SeenFacts {
  const { battery, mains, signal: strength, charging, online, position } = body;
  const test = kind === 'test' && !will;
  const triggers = new Map<string, SeenTrigger>(body.triggers.map((one) => [one.id, { ...one, test: false }]));
  if (body.trigger !== null && !will) {
    const listed = triggers.get(body.trigger);
    triggers.set(body.trigger, { id: body.trigger, battery: listed?.battery ?? null, seenAt: 'now', test });
  }
  return {
    via: 'mqtt',
    alive: !will,
    battery,
    mains,
    signal: strength,
    charging,
    online,
    position: position === null ? null : positionOf(position),
    test,
    triggers: [...triggers.values()],
  };
}
