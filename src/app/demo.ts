/** What the demonstration runs beside the centre, as processes of their own: an SMS gateway with phones, and devices. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CentreError } from '../base/errors.ts';
import type { Settings } from '../base/settings.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SIMULATORS = ['--import=tsx', 'simulators/main.ts'];
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost']);

export interface Companion {
  stop(): Promise<void>;
}

/** Its passwords are public: it listens on loopback unless somebody insists. @throws CentreError demo-not-on-loopback */
export function checkDemoAddress(bind: string, force: boolean): void {
  if (LOOPBACK.has(bind) || force) return;
  const message = `The demonstration's passwords are public, so it listens on loopback only, not on BIND ${bind}: unset BIND, or insist with --force.`;
  throw new CentreError('demo-not-on-loopback', message);
}

/** Starts an SMS gateway, unless the settings name one; the settings come back with its address. */
export async function startDemoGateway(settings: Settings): Promise<{ settings: Settings; gateway: Companion | null }> {
  if (settings.SMS_GATEWAY_URL !== undefined) return { settings, gateway: null };
  const child = run(['sms-gateway'], 'pipe');
  const lines = createInterface({ input: child.stdout ?? process.stdin });
  const [first] = (await Promise.race([once(lines, 'line'), once(child, 'exit').then(() => [''])])) as [string];
  lines.close();
  const gateway = companion(child);
  const said: unknown = first === '' ? null : JSON.parse(first);
  if (typeof said !== 'object' || said === null || !('url' in said) || !('token' in said)) return { settings, gateway: null };
  return { settings: { ...settings, SMS_GATEWAY_URL: String(said.url), SMS_GATEWAY_TOKEN: String(said.token) }, gateway };
}

/** Plays the scenario `demo` against the centre whose ready.json lies in `dataDir`. */
export function startDemoDevices(dataDir: string): Companion {
  return companion(run(['demo', '--data-dir', dataDir], 'ignore'));
}

function run(args: readonly string[], output: 'pipe' | 'ignore'): ChildProcess {
  // A group of its own: Ctrl-C reaches the centre, which then ends them in order.
  return spawn(process.execPath, [...SIMULATORS, ...args], { cwd: ROOT, stdio: ['ignore', output, 'inherit'], detached: true });
}

function companion(child: ChildProcess): Companion {
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  return {
    async stop() {
      process.off('exit', killWithUs);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** What a person who has just started the demonstration needs to know. */
export function greeting(http: string, gateway: string | undefined): string {
  const phones = gateway === undefined ? [] : [`  SMS:         ${gateway}  (the messages that the phones would get)`];
  return [
    '',
    'The demonstration runs. Open it in a browser:',
    `  Console:     ${http}`,
    '  Sign in as:  operator · operator2 · sola (only Sola) · natt · natt2 (night patrol) · teknisk · leder',
    '  Password:    demo',
    ...phones,
    '  Stop it with Ctrl-C.',
    '',
    '',
  ].join('\n');
}
