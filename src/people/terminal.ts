/** The terminal as the command line uses it: lines out, a password asked for without showing it, standard input, files. */
import { open, readFile } from 'node:fs/promises';
import type { ReadStream } from 'node:tty';
import { reason, systemCode } from '../base/errors.ts';
import { CentreError } from '../base/errors.ts';

export interface Terminal {
  say(line: string): void;
  complain(line: string): void;
  /** What was typed, not shown; null when nobody sits there. */
  askSecret(question: string): Promise<string | null>;
  /** The first line of standard input. */
  readLine(): Promise<string>;
  readFile(path: string): Promise<Uint8Array>;
  /** Makes a file that only its owner may read; it must not exist. Durable when it resolves. */
  writeSecretFile(path: string, text: string): Promise<void>;
}

/** The process' own. */
export function processTerminal(): Terminal {
  const { stdin, stdout, stderr } = process;
  return {
    say: (line) => void stdout.write(`${line}\n`),
    complain: (line) => void stderr.write(`${line}\n`),
    askSecret: async (question) => (stdin.isTTY ? typed(stdin, stderr, question) : null),
    async readLine() {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Uint8Array));
      return Buffer.concat(chunks).toString('utf8').split(/\r?\n/, 1)[0] ?? '';
    },
    readFile: (path) =>
      readFile(path).catch((error: unknown) => {
        const why = systemCode(error) === 'ENOENT' ? 'there is no such file' : reason(error);
        throw new CentreError('command-line-invalid', `${path} cannot be read: ${why}.`, { cause: error });
      }),
    async writeSecretFile(path, text) {
      const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
        throw new CentreError('command-line-invalid', `${path} cannot be made: ${reason(error)}. Name another with --secrets.`, {
          cause: error,
        });
      });
      try {
        await file.writeFile(text);
        await file.datasync();
      } finally {
        await file.close();
      }
    },
  };
}

const ENTER = new Set(['\r', '\n', '\u0004']);
const INTERRUPT = '\u0003';
const BACKSPACE = new Set(['\u007f', '\b']);

/** Reads keys raw until Enter; Ctrl-C ends with an empty answer. */
function typed(input: ReadStream, output: NodeJS.WritableStream, question: string): Promise<string> {
  output.write(question);
  return new Promise((resolve) => {
    let text = '';
    const done = (answer: string): void => {
      input.setRawMode(false);
      input.pause();
      input.off('data', onData);
      output.write('\n');
      resolve(answer);
    };
    const onData = (chunk: Buffer): void => {
      for (const key of chunk.toString('utf8')) {
        if (ENTER.has(key)) return done(text);
        if (key === INTERRUPT) return done('');
        text = BACKSPACE.has(key) ? text.slice(0, -1) : text + key;
      }
    };
    input.setRawMode(true);
    input.resume();
    input.on('data', onData);
  });
}
