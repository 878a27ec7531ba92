/** The shapes of `teams.json`, `duty.json` and `ladders.json`; each message ends a sentence that begins with the place. */
import { IANAZone } from 'luxon';
import { z } from 'zod';
import { CHANNELS } from '../alarms/command.ts';
import { KINDS, PRIORITIES } from '../alarms/signal.ts';
import { TEAM_ROLES, WEEKDAYS } from './ladder.ts';

const list = (words: readonly string[]): string => words.join(', ');

const ID = z
  .string('must be an id')
  .regex(/^[a-zæøå0-9][a-zæøå0-9-]{0,39}$/, 'must be an id of small letters, digits and hyphens, at most 40');
const NAME = z.string('must be a name').min(1, 'must be a name of at least one letter').max(60, 'must be a name of at most 60 letters');
const ACCOUNT = z.string('must be an account name').regex(/^[^\s,]{1,64}$/, 'must be an account name without spaces or commas');
const MUNICIPALITY = z.string('must be a municipality number').regex(/^\d{4}$/, 'must be a municipality number of four digits');
const SECONDS = (from: number, to: number) => {
  const must = `must be a whole number of seconds from ${from} to ${to}`;
  return z.int(must).min(from, must).max(to, must);
};
const A_DAY = 86_400;
const LIST = 'must be a list';
const OBJECT = {
  error: (issue: { readonly code?: string | undefined; readonly keys?: readonly string[] | undefined }): string =>
    issue.code === 'unrecognized_keys'
      ? `has ${(issue.keys ?? []).map((key) => `"${key}"`).join(', ')}, which is no word of this file: remove it or mend its spelling`
      : 'must be an object',
};
const filled = <S extends z.ZodType>(of: S) => z.array(of, LIST).min(1, 'must name at least one');

export const TEAMS_FILE = z.strictObject(
  {
    zones: z.array(z.strictObject({ name: NAME, municipality: MUNICIPALITY }, OBJECT), LIST),
    teams: filled(
      z.strictObject(
        {
          id: ID,
          name: NAME,
          role: z.enum(TEAM_ROLES, `must be ${list(TEAM_ROLES)}`),
          municipalities: z.union(
            [z.literal('all'), filled(MUNICIPALITY)],
            'must be "all" or a list of municipality numbers of four digits',
          ),
          zones: z.union([z.literal('all'), filled(NAME)], 'must be "all" or a list of zones').default('all'),
          helps: z.array(NAME, LIST).default([]),
          members: z.array(ACCOUNT, LIST).default([]),
        },
        OBJECT,
      ),
    ),
  },
  OBJECT,
);

const TIME = z.string('must be a time of day').regex(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, 'must be a time of day from "00:00" to "24:00"');
export type LocalTimeText = z.infer<typeof TIME>;

export const DUTY_FILE = z.strictObject(
  {
    timeZone: z
      .string('must be a time zone')
      .refine((name) => IANAZone.isValidZone(name), 'must be a time zone by its IANA name, such as "Europe/Oslo"')
      .default('Europe/Oslo'),
    shifts: z.array(
      z
        .strictObject(
          {
            id: ID,
            team: ID,
            people: filled(ACCOUNT),
            always: z.literal(true, 'must be true, or left out where there are hours').optional(),
            days: filled(z.enum(WEEKDAYS, `must be ${list(WEEKDAYS)}`)).optional(),
            from: TIME.refine((text) => text !== '24:00', 'must be a time of day before "24:00"').optional(),
            to: TIME.optional(),
          },
          OBJECT,
        )
        .refine(
          ({ always, days, from, to }) =>
            always === true ? days === undefined && from === undefined && to === undefined : from !== undefined && to !== undefined,
          'must have either "always": true, or hours in "from" and "to"',
        ),
      LIST,
    ),
  },
  OBJECT,
);

const CHANNEL = z.strictObject(
  {
    via: z.enum(CHANNELS, `must be ${list(CHANNELS)}`),
    afterSeconds: SECONDS(0, 600),
    afterSecondsForLife: SECONDS(0, 600).optional(),
  },
  OBJECT,
);
export type ChannelEntry = z.infer<typeof CHANNEL>;

const TARGET = z
  .strictObject(
    {
      team: ID.optional(),
      role: z.enum(TEAM_ROLES, `must be ${list(TEAM_ROLES)}`).optional(),
      zone: z.enum(['own', 'neighbour'], 'must be own or neighbour').optional(),
    },
    OBJECT,
  )
  .refine(({ team, role }) => (team === undefined) !== (role === undefined), 'must have either "team" or "role"');

/** What an alarm of this priority could be; `information` never becomes one. */
const ALARM_PRIORITIES = PRIORITIES.filter((priority) => priority !== 'information');

export const LADDERS_FILE = z.strictObject(
  {
    ladders: filled(
      z.strictObject(
        {
          id: ID,
          for: z.strictObject(
            {
              priorities: filled(z.enum(ALARM_PRIORITIES, `must be ${list(ALARM_PRIORITIES)}`)).optional(),
              kinds: filled(z.enum(KINDS, `must be ${list(KINDS)}`)).optional(),
              municipalities: filled(MUNICIPALITY).optional(),
              zones: filled(NAME).optional(),
            },
            OBJECT,
          ),
          waitsSeconds: z.strictObject(
            {
              unclaimed: SECONDS(5, 3600),
              claimIdle: SECONDS(10, 3600),
              claimWarned: SECONDS(5, 3600),
              repeatUnseen: SECONDS(5, 3600),
              longOnSite: SECONDS(60, A_DAY),
              notClosed: SECONDS(60, A_DAY),
              ladderRestart: SECONDS(30, 3600),
              dayQueue: SECONDS(60, 7 * A_DAY),
              defaultEta: SECONDS(60, 4 * 3600),
            },
            OBJECT,
          ),
          rungs: z.array(
            z.strictObject(
              {
                name: ID,
                mode: z.enum(['tell', 'dispatch'], 'must be tell or dispatch'),
                to: filled(TARGET),
                waitSeconds: SECONDS(5, 3600),
                channels: filled(CHANNEL),
              },
              OBJECT,
            ),
            LIST,
          ),
          dispatch: z.strictObject({ waitSeconds: SECONDS(5, 3600), channels: filled(CHANNEL) }, OBJECT),
        },
        OBJECT,
      ),
    ),
  },
  OBJECT,
);
