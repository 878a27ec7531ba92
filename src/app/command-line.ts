/** The arguments of the program: what to do, with which roles; every mistake is one sentence. */
import { CentreError } from '../base/errors.ts';

export const PROCESS_ROLES = ['intake', 'escalation', 'console', 'watch'] as const;
/** What one process does of the centre's work (design § 4); roles share little but the stores. `watch` watches the others (ADR 17). */
export type ProcessRole = (typeof PROCESS_ROLES)[number];

export type Invocation =
  | {
      readonly run: 'centre';
      readonly roles: readonly ProcessRole[];
      readonly demo: boolean;
      /** Simulated devices, with `--demo` only. */
      readonly devices: boolean;
      /** Lets the demonstration, whose passwords everybody knows, listen on other addresses than loopback. */
      readonly force: boolean;
    }
  | { readonly run: 'admin'; readonly args: readonly string[] }
  | { readonly run: 'check-config' };

const wrong = (message: string): CentreError => new CentreError('command-line-invalid', message);

/** @throws CentreError command-line-invalid */
export function readCommandLine(args: readonly string[]): Invocation {
  const [first, ...rest] = args;
  if (first === 'admin') return { run: 'admin', args: rest };
  if (first === 'check-config') return { run: 'check-config' };
  let roles: readonly ProcessRole[] = PROCESS_ROLES;
  const flags = new Set<string>();
  for (let n = 0; n < args.length; n++) {
    const given = args[n] ?? '';
    const [name, inline] = given.split('=', 2);
    if (name === '--role') {
      roles = rolesOf(inline ?? args[++n]);
    } else if (given === '--demo' || given === '--no-devices' || given === '--force') {
      flags.add(given);
    } else {
      throw wrong(
        `"${given}" is not an argument of this program: it takes --role <${PROCESS_ROLES.join(',')}>, --demo, --no-devices, --force.`,
      );
    }
  }
  const demo = flags.has('--demo');
  if (!demo && flags.has('--no-devices')) throw wrong('--no-devices belongs to the demonstration: npm run demo -- --no-devices.');
  return { run: 'centre', roles, demo, devices: demo && !flags.has('--no-devices'), force: flags.has('--force') };
}

function rolesOf(given: string | undefined): readonly ProcessRole[] {
  const names = (given ?? '').split(',').filter((name) => name !== '');
  const unknown = names.find((name) => !(PROCESS_ROLES as readonly string[]).includes(name));
  if (unknown !== undefined) throw wrong(`--role ${unknown} is unknown: the roles are ${PROCESS_ROLES.join(', ')}.`);
  if (names.length === 0) throw wrong(`--role needs a list of roles: ${PROCESS_ROLES.join(',')}.`);
  return PROCESS_ROLES.filter((role) => names.includes(role));
}
