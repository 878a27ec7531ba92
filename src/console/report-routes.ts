/** Where an SMS gateway reports by itself what became of a message; it is asked as well, so a lost report costs nothing. */
import { z } from 'zod';
import { type Route, json, openRoute, problem } from './route.ts';

/** By the gateway's bearer token, not by a session. */
export type TakeReport = (
  authorization: string | undefined,
  body: unknown,
) => Promise<'taken' | 'no-gateway' | 'unauthorized' | 'malformed' | 'unknown-message'>;

export interface ReportRouteParts {
  readonly takeReport: TakeReport;
}

export function reportRoutes({ takeReport }: ReportRouteParts): Route[] {
  return [
    openRoute({
      method: 'POST',
      path: '/api/v1/sms-reports',
      summary: 'A delivery report of the SMS gateway. "delivered" is never taken for an acceptance.',
      body: z.object({ id: z.string().min(1).max(200), status: z.string().max(40) }),
      ok: { status: 200, schema: z.object({ taken: z.literal(true) }) },
      problems: ['gateway-unknown', 'unknown-message'],
      async handle({ headers, body }) {
        const answer = await takeReport(headers.authorization, body);
        if (answer === 'taken') return json({ taken: true });
        if (answer === 'unauthorized' || answer === 'no-gateway') {
          return problem('gateway-unknown', 'Send the token that the centre has as SMS_GATEWAY_TOKEN.');
        }
        if (answer === 'unknown-message') return problem('unknown-message', 'The centre sent no message by that id.');
        return problem('invalid-request', '"status": must be accepted, sent, delivered or failed.');
      },
    }),
  ];
}
