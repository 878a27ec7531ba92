/** `npm run admin`: accounts, register and devices from the command line, beside a running centre or without one. */
import process from 'node:process';
import { RunningClock } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { systemRandom } from '../base/ids.ts';
import { createLog } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { DEVICE_HELP, runDeviceAdmin } from '../devices/admin.ts';
import { runAdmin } from '../people/admin.ts';
import { processTerminal } from '../people/terminal.ts';
import { createAccountBook } from '../store/accounts.ts';
import { createDeviceBook } from '../store/device-book.ts';
import { openDataDir } from '../store/data-dir.ts';
import { privateDatabaseOf } from '../store/private-postgres.ts';
import { createRegisterStore } from '../store/register.ts';
import { createCleanUp } from './clean-up.ts';
import { knownToRegister, readConfiguration } from './configuration.ts';
import { openDatabase } from './stores.ts';

/** @returns the exit code. @throws CentreError of the settings, the configuration or the stores */
export async function runAdminCommand(args: readonly string[], settings: Settings): Promise<number> {
  const log = createLog('error', { write: (line) => void process.stderr.write(line) });
  const clock = new RunningClock();
  const cleanUp = createCleanUp(log);
  try {
    const configuration = readConfiguration(settings.CONFIG_DIR);
    const reached = await reach(settings, cleanUp);
    const postgres = await openDatabase({ ...reached, clock, random: systemRandom, log, cleanUp });
    const known = knownToRegister(configuration);
    const shared = { terminal: processTerminal(), clock, random: systemRandom };
    const devices = {
      ...shared,
      book: createDeviceBook(postgres),
      models: configuration.models,
      municipalities: known.municipalities,
      realm: settings.SIP_REALM,
    };
    return await runAdmin(args, {
      ...shared,
      accounts: createAccountBook(postgres),
      register: createRegisterStore(postgres),
      known,
      dataDir: reached.dataDir,
      areas: [{ word: 'device', help: DEVICE_HELP, run: (argv) => runDeviceAdmin(argv, devices) }],
    });
  } finally {
    await cleanUp.run();
  }
}

/** A centre that runs on this DATA_DIR has its private database running: that one is used. */
async function reach(settings: Settings, cleanUp: ReturnType<typeof createCleanUp>): Promise<{ settings: Settings; dataDir: string }> {
  try {
    const dataDir = await openDataDir(settings.DATA_DIR);
    cleanUp.add('data-dir', () => dataDir.release());
    return { settings, dataDir: dataDir.path };
  } catch (error) {
    if (!(error instanceof CentreError) || error.code !== 'data-dir-in-use') throw error;
    const url = settings.DATABASE_URL ?? privateDatabaseOf(settings.DATA_DIR);
    return { settings: { ...settings, DATABASE_URL: url }, dataDir: settings.DATA_DIR };
  }
}
