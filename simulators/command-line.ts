/** What a person may write behind `npm run simulate --`. */
import { parseArgs } from 'node:util';
import { CentreError, reason } from '../src/base/errors.ts';
import { hostAndPort, type Addresses } from './addresses.ts';
import { DEMO_PASSWORD } from './demo.ts';

export const USAGE = `npm run simulate -- <scenario> [options]

  --list              the scenarios that there are
  --seed N            another run of the same scenario (the same N: the same run)
  --speed N           scenario seconds in one real second
  --data-dir DIR      the centre's DATA_DIR: its ready.json tells the addresses (default: DATA_DIR, else ./var)
  --mqtt host:port    where the devices of the platform connect
  --scaip host:port   where the SCAIP units call; several with commas: the later ones are where they turn when the first is silent
  --password TEXT     what the devices of the platform sign in with (default: that of the demonstration)
  --port N            for the scenario "sms-gateway", which is an SMS gateway with a telephone's page (its token: SMS_GATEWAY_TOKEN)
  --verbose           heartbeats' fate and failed tries too
`;

export interface CommandLine {
  /** A name, or a file that ends in .json; null for `--list`. */
  readonly scenario: string | null;
  readonly seed: number | null;
  readonly speed: number | null;
  readonly dataDir: string;
  readonly given: Partial<Addresses>;
  readonly password: string;
  /** Of the SMS gateway; 0 takes a free one. */
  readonly port: number;
  readonly verbose: boolean;
}

/** @throws CentreError command-line-invalid, with one sentence */
export function readCommandLine(args: readonly string[], environment: Readonly<Record<string, string | undefined>>): CommandLine {
  const { values, positionals } = parsed(args);
  const [scenario, more] = positionals;
  const list = values.list === true;
  if (more !== undefined) throw new CentreError('command-line-invalid', `One scenario at a time: "${more}" is too much.`);
  if (scenario === undefined && !list) throw new CentreError('command-line-invalid', `Name a scenario.\n\n${USAGE}`);
  if (values.mqtt !== undefined) hostAndPort(values.mqtt);
  const receivers = values.scaip?.split(',').map((address) => address.trim());
  for (const address of receivers ?? []) hostAndPort(address);
  return {
    scenario: list ? null : (scenario ?? null),
    seed: numberOf('--seed', values.seed, 0),
    speed: numberOf('--speed', values.speed, 0.1),
    dataDir: values['data-dir'] ?? (environment['DATA_DIR'] || './var'),
    given: {
      ...(values.mqtt === undefined ? {} : { mqtt: values.mqtt }),
      ...(receivers === undefined ? {} : { scaip: receivers.map((address) => ({ udp: address, tcp: address })) }),
    },
    password: values.password ?? DEMO_PASSWORD,
    port: numberOf('--port', values.port, 0, 65_535) ?? 0,
    verbose: values.verbose === true,
  };
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        list: { type: 'boolean' },
        seed: { type: 'string' },
        speed: { type: 'string' },
        'data-dir': { type: 'string' },
        mqtt: { type: 'string' },
        scaip: { type: 'string' },
        password: { type: 'string' },
        port: { type: 'string' },
        verbose: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new CentreError('command-line-invalid', `${reason(error)}\n\n${USAGE}`);
  }
}

function numberOf(option: string, text: string | undefined, min: number, max = Number.MAX_SAFE_INTEGER): number | null {
  if (text === undefined) return null;
  const number = Number(text);
  if (text.trim() !== '' && number >= min && number <= max) return number;
  throw new CentreError('command-line-invalid', `${option} must be a number from ${min} to ${max} (it is "${text}").`);
}
