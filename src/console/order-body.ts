/** The bodies of `POST …/commands`: strict in their fields, lenient in what interfaces.md leaves optional. */
import { z } from 'zod';
import { CONTACT_WAYS, OUTCOMES, type Outcome, type PersonCommand, WITHDRAWABLE } from '../alarms/command.ts';
import { storable } from '../base/bytes.ts';
import { type Instant, fromIso } from '../base/clock.ts';

const TEXT_LIMIT = 2000;

/** Free words of a person; what PostgreSQL cannot keep is replaced, never refused. */
const words = z
  .string()
  .max(TEXT_LIMIT, `must have at most ${TEXT_LIMIT} characters`)
  .transform((text) => storable(text).trim());
const optionalWords = words.nullish().transform((text) => text ?? '');
const required = words.refine((text) => text !== '', 'must not be empty');

const instant = z.string().transform((text, context): Instant => {
  // A date alone, or a local time, would be read differently here and there: RFC 3339 has an offset.
  const at = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?([Zz]|[+-]\d{2}:\d{2})$/.test(text) ? fromIso(text) : null;
  if (at !== null) return at;
  context.addIssue({ code: 'custom', message: 'must be an RFC 3339 time with its offset' });
  return z.NEVER;
});

/** Comes with every command. */
const WITH_ALL = {
  version: z.int().min(0).nullish(),
  key: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\x20-\x7e]+$/, 'must be printable ASCII')
    .nullish(),
  doneAt: instant.nullish(),
};

/** An outcome as another system words it is kept as text; the timeline then says `other`. */
const outcome = z.string().max(200).nullish();

const command = <N extends PersonCommand['command'], S extends z.ZodRawShape>(name: N, shape: S) =>
  z.strictObject({ command: z.literal(name), ...shape, ...WITH_ALL });

export const ORDER_BODY = z.discriminatedUnion('command', [
  command('claim', {}),
  command('take-over', { reason: optionalWords }),
  command('release', {}),
  command('see', {}),
  command('confirm-contact', { how: z.enum(CONTACT_WAYS).nullish() }),
  command('note', { text: required }),
  command('dispatch', { to: required }),
  command('accept', {
    etaMinutes: z
      .number()
      .min(0)
      .max(24 * 60)
      .nullish(),
  }),
  command('decline', { reason: optionalWords }),
  command('arrive', {}),
  command('report', { outcome, text: optionalWords }),
  command('close', { outcome, text: optionalWords }),
  command('override-contact', { reason: optionalWords }),
  command('snooze', {
    minutes: z
      .number()
      .positive()
      .max(7 * 24 * 60),
    reason: optionalWords,
  }),
  command('withdraw', { what: z.enum(WITHDRAWABLE) }),
]);

export type OrderBody = z.output<typeof ORDER_BODY>;
/** A dispatch still lacks its recipients: escalation works them out. */
export type Ordered = Exclude<PersonCommand, { command: 'dispatch' }> | { readonly command: 'dispatch'; readonly to: string };

const isOutcome = (text: string): text is Outcome => (OUTCOMES as readonly string[]).includes(text);

function ending(given: string | null | undefined, text: string): { outcome: Outcome; text: string } {
  const word = storable(given ?? '').trim();
  if (isOutcome(word)) return { outcome: word, text };
  return { outcome: 'other', text: [word, text].filter((part) => part !== '').join(': ') };
}

/** The desk's command from what was sent, with what may be left out filled in. */
export function commandOf(body: OrderBody): Ordered {
  switch (body.command) {
    case 'claim':
    case 'release':
    case 'see':
    case 'arrive':
      return { command: body.command };
    case 'take-over':
    case 'decline':
    case 'override-contact':
      return { command: body.command, reason: body.reason };
    case 'confirm-contact':
      return { command: 'confirm-contact', how: body.how ?? 'voice' };
    case 'note':
      return { command: 'note', text: body.text };
    case 'dispatch':
      return { command: 'dispatch', to: body.to };
    case 'accept':
      return { command: 'accept', etaMinutes: body.etaMinutes ?? null };
    case 'report':
    case 'close':
      return { command: body.command, ...ending(body.outcome, body.text) };
    case 'snooze':
      return { command: 'snooze', minutes: body.minutes, reason: body.reason };
    case 'withdraw':
      return { command: 'withdraw', what: body.what };
  }
}

/** When it was done, for an act that waited for a network; a phone's clock that is ahead is not believed. */
export const doneAtOf = (body: OrderBody, now: Instant): Instant | null => {
  const { doneAt } = body;
  return doneAt === null || doneAt === undefined ? null : Math.min(doneAt, now);
};
