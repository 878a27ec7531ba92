/** `openssl s_client` as a device that writes bytes under TLS. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { kill } from '../support/process.ts';
import { until } from '../support/stores.ts';
import type { Certificate } from './centre.ts';

/** Raw bytes over TLS, by way of openssl. */
export class TlsBytes {
  ended = false;
  #said = '';
  readonly #child: ChildProcess;

  static async open(t: Test, address: string, certificate: Certificate | null): Promise<TlsBytes> {
    const trust = ['-CAfile', certificate?.cert ?? '', '-verify_return_error'];
    const child = spawn('openssl', ['s_client', '-quiet', '-connect', address, ...trust], { stdio: ['pipe', 'pipe', 'ignore'] });
    t.teardown(() => endOf(child));
    await once(child, 'spawn');
    return new TlsBytes(child);
  }

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdin?.on('error', () => {});
    child.stdout?.on('data', (bytes: Buffer) => (this.#said += bytes.toString('hex')));
    child.once('exit', () => (this.ended = true));
  }

  send(hex: string): void {
    this.#child.stdin?.write(Buffer.from(hex, 'hex'));
  }

  /** Waits until exactly these bytes have come. */
  async hears(hex: string): Promise<void> {
    await until(`${hex}, not ${this.#said}`, () => this.#said === hex);
  }
}

/** Ends a program that a test has started. */
export async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  kill(child.pid, 'SIGKILL');
  await once(child, 'exit');
}
