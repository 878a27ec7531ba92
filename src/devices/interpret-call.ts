/** What it means that a unit calls by SIP: the centre has no voice path, but somebody may be in need. Pure. */
import { type InterpretedSignal, SEEN } from './interpretation.ts';

/** Joins an open need without a sound; opens one where there is none, for the alarm before the call may have been lost. */
export function interpretCall({ callId }: { readonly callId: string }): InterpretedSignal {
  return {
    what: 'signal',
    messageId: callId === '' ? null : callId,
    meaning: { role: 'call', kind: 'call-button', priority: 'urgent', trigger: '', code: 'INVITE' },
    marks: callId === '' ? ['no-id'] : [],
    seen: { ...SEEN, via: 'scaip' },
  };
}
