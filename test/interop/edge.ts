/** Starts Kamailio as the edge in front of a centre, with the configuration that is shipped in deploy/kamailio, as it is. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { ROOT, kill, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';
import { type Certificate, freePort, program } from './centre.ts';

const SHIPPED = path.join(ROOT, 'deploy', 'kamailio');

export interface Edge {
  readonly udp: string;
  readonly tcp: string;
  readonly tls: string;
  /** Its address towards the centre. */
  readonly inner: string;
  /** What it has said. */
  output(): string;
  /** Keeps the flows, stops it in order and starts it on the same ports. */
  restart(): Promise<void>;
}

/** @param centres `host:port` of the centre, and perhaps of a second one */
export async function startEdge(t: Test, centres: readonly [string, string?], certificate: Certificate | null): Promise<Edge> {
  const folder = temporary(t);
  const [outer, outerTls, inner] = [await freePort(), await freePort(), await freePort()];
  copyFileSync(path.join(SHIPPED, 'kamailio.cfg'), path.join(folder, 'kamailio.cfg'));
  const at = (port: number): string => `127.0.0.1:${port}`;
  const control = `unix:${folder}/control`;
  const settings = [
    `listen=udp:${at(outer)}`,
    `listen=tcp:${at(outer)}`,
    ...(certificate === null ? [] : [`listen=tls:${at(outerTls)}`, `#!define TLS_CONFIG "${folder}/tls.cfg"`]),
    `listen=udp:${at(inner)}`,
    `#!define INNER "udp:${at(inner)}"`,
    `#!define INNER_PORT ${inner}`,
    `#!define CENTRE "sip:${centres[0]}"`,
    ...(centres[1] === undefined ? [] : [`#!define SECOND_CENTRE "sip:${centres[1]}"`]),
    `#!define WORKERS 1`,
    `#!define CONTROL "${control}"`,
    `#!define KEEP_URL "text://${folder}/keep"`,
  ];
  writeFileSync(path.join(folder, 'settings.cfg'), `${settings.join('\n')}\n`);
  mkdirSync(path.join(folder, 'keep'));
  copyFileSync(path.join(SHIPPED, 'keep', 'unit'), path.join(folder, 'keep', 'unit'));
  if (certificate !== null) {
    const tls = ['[server:default]', 'method = TLSv1.2+', `certificate = ${certificate.cert}`, `private_key = ${certificate.key}`];
    writeFileSync(path.join(folder, 'tls.cfg'), `${tls.join('\n')}\n`);
  }

  let output = '';
  let stop = async (): Promise<void> => {};
  t.teardown(() => stop());
  await start();
  return {
    udp: at(outer),
    tcp: at(outer),
    tls: at(outerTls),
    inner: at(inner),
    output: () => output,
    restart: async () => {
      const { code, output: said } = await program(t, 'kamcmd', ['-s', control, 'htable.store', 'unit']);
      if (code !== 0) throw new Error(said);
      await stop();
      await start();
    },
  };

  async function start(): Promise<void> {
    // Its coming is the sign that Kamailio is there: not that of an earlier one.
    rmSync(path.join(folder, 'control'), { force: true });
    const where = ['-f', path.join(folder, 'kamailio.cfg'), '-w', folder, '-Y', folder];
    // In the foreground, and small: 32 MB shared, 8 MB for each process.
    const child = spawn('kamailio', ['-DD', '-E', '-m', '32', '-M', '8', ...where], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const ended = once(child, 'exit');
    ended.catch(() => {});
    stop = async () => {
      if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
        kill(child.pid, 'SIGTERM');
        const late = setTimeout(() => kill(-child.pid!, 'SIGKILL'), 10_000);
        await ended;
        clearTimeout(late);
      }
    };
    // The control socket is made before those of the units; the process that answers on it, after them.
    await until('Kamailio answers', async () => {
      if (child.exitCode !== null) throw new Error(`Kamailio ended: ${output}`);
      return existsSync(path.join(folder, 'control')) && (await program(t, 'kamcmd', ['-s', control, 'core.version'])).code === 0;
    });
  }
}
