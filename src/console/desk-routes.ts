/** The routes around the alarms: who is on duty, whom an alarm can be sent to, and the devices for technicians. */
import { z } from 'zod';
import { type Duty, type DutyAnswer } from '../escalation/duty.ts';
import { DUTY_COMMANDS } from '../escalation/roster.ts';
import type { Viewer } from '../people/access.ts';
import { DEVICES, DISPATCH_TARGETS, DUTY, type DevicePage } from './api-schema.ts';
import type { Board } from './board.ts';
import { type Answer, type Route, json, problem, route } from './route.ts';

export interface DeviceQuery {
  /** Part of a serial, a controller id or a household's name; null: all. */
  readonly search: string | null;
  /** Only devices of which something was refused. */
  readonly refused: boolean;
  /** Only devices that are late or lost, or have such a trigger. */
  readonly silent: boolean;
  readonly cursor: string | null;
  readonly limit: number;
}

/** Devices of the municipalities that the viewer serves. @throws CentreError store-away */
export type ListDevices = (viewer: Viewer, query: DeviceQuery) => Promise<DevicePage>;

export interface DeskRouteParts {
  readonly duty: Pick<Duty, 'view' | 'order' | 'dispatchTargets'>;
  readonly board: Board;
  readonly listDevices: ListDevices;
}

const name = z.string().min(1).max(64);
const flag = z.enum(['true', 'false', '1', '0']).optional();
const isSet = (given: z.infer<typeof flag>): boolean => given === 'true' || given === '1';

export function deskRoutes({ duty, board, listDevices }: DeskRouteParts): Route[] {
  return [
    route({
      method: 'GET',
      path: '/api/v1/duty',
      summary: 'Who is on duty, in the teams of the municipalities that the account serves.',
      ok: { status: 200, schema: DUTY },
      handle: async (_request, viewer) => json(await duty.view(viewer)),
    }),
    route({
      method: 'POST',
      path: '/api/v1/duty',
      summary: 'Goes on or off duty, or takes over; supervisors order it for others with "account".',
      access: ['responder', 'supervisor', 'operator'],
      body: z.strictObject({
        command: z.enum(DUTY_COMMANDS),
        team: name.optional(),
        from: name.optional(),
        until: z.string().max(40).optional(),
        account: name.optional(),
      }),
      ok: { status: 200, schema: DUTY },
      problems: ['unknown-team', 'team-required', 'not-a-member', 'wrong-role', 'until-invalid', 'not-on-duty', 'not-allowed'],
      handle: async ({ body }, viewer) => dutyAnswer(await duty.order(viewer, body)),
    }),
    route({
      method: 'GET',
      path: '/api/v1/dispatch-targets',
      summary: 'Teams and people that the alarm can be sent to, and which the ladder proposes.',
      access: ['operator', 'supervisor'],
      query: z.object({ alarm: z.string().max(20) }),
      ok: { status: 200, schema: DISPATCH_TARGETS },
      problems: ['unknown-alarm'],
      async handle({ query: { alarm } }, viewer) {
        const found = await board.one(viewer, alarm);
        if (found === null) return problem('unknown-alarm', `There is no alarm ${alarm} for this account.`);
        return json(await duty.dispatchTargets(found.alarm));
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/devices',
      summary: 'Devices with their last sign of life, and what was refused.',
      access: ['technician', 'supervisor', 'operator'],
      query: z.object({
        search: z.string().max(100).optional(),
        refused: flag,
        silent: flag,
        cursor: z.string().max(500).optional(),
        limit: z.coerce.number().int().min(1).max(500).default(200),
      }),
      ok: { status: 200, schema: DEVICES },
      async handle({ query: { search, refused, silent, cursor, limit } }, viewer) {
        const query = { search: search ?? null, refused: isSet(refused), silent: isSet(silent), cursor: cursor ?? null, limit };
        return json(await listDevices(viewer, query));
      },
    }),
  ];
}

function dutyAnswer(answer: DutyAnswer): Answer {
  if ('refused' in answer) return problem(answer.refused, `The order was refused: ${answer.refused}.`);
  return json({ ...answer.view, ...(answer.warning === null ? {} : { warning: answer.warning }) });
}
