/** Runs a part of the bench in a process of its own, so that what measures does not share a thread with what is measured. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

type Answer<Out> = { readonly result: Out } | { readonly failed: string };
/** Said by a program before its answer: from now on it does what is measured. */
interface Begun {
  readonly begun: true;
}

/** In the program: see `Begun`. */
export const sayBegun = (): void => void process.send?.({ begun: true } satisfies Begun);

/** What each program under bench/jobs/ is given and answers. */
export type Job<In, Out> = (input: In) => Promise<Out>;

/** In the program: takes the one message that its parent sends, answers it, and ends unless it `stays`. */
export function answerParent<In, Out>(job: Job<In, Out>, stays = false): void {
  process.once('message', (input) => {
    job(input as In).then(
      (result) => tell({ result }, stays),
      (error: unknown) => tell({ failed: error instanceof Error ? (error.stack ?? error.message) : String(error) }, false),
    );
  });
  process.once('disconnect', () => process.exit(1));
}

function tell(answer: Answer<unknown>, stays: boolean): void {
  process.send?.(answer, () => {
    if (!stays) process.exit(0);
  });
}

interface Question<In> {
  readonly question: In;
  readonly n: number;
}

/** In a program that stays: answers what its parent asks behind its first message. */
export function answerQuestions<In, Out>(answer: (question: In) => Promise<Out>): void {
  process.on('message', (message) => {
    const { question, n } = message as Question<In>;
    answer(question).then(
      (result) => process.send?.({ n, result }),
      (error: unknown) => process.send?.({ n, failed: error instanceof Error ? error.message : String(error) }),
    );
  });
}

/** Runs bench/jobs/<name>.ts to its end. @throws Error with what it said when it failed */
export async function runJob<In extends object, Out>(name: string, input: In, begun?: () => void): Promise<Out> {
  const child = start(name, input);
  return answerOf<Out>(name, child, begun);
}

/** Runs bench/jobs/<name>.ts until `stop`. */
export async function runServer<In extends object, Out>(
  name: string,
  input: In,
): Promise<{ readonly answer: Out; ask<Asked, Answered>(question: Asked): Promise<Answered>; stop(): Promise<void> }> {
  const child = start(name, input);
  const answer = await answerOf<Out>(name, child);
  let asked = 0;
  return {
    answer,
    ask<Asked, Answered>(question: Asked) {
      const n = ++asked;
      return new Promise<Answered>((resolve, reject) => {
        const answered = (message: unknown): void => {
          const given = message as { readonly n: number } & Answer<Answered>;
          if (given.n !== n) return;
          child.off('message', answered).off('exit', ended);
          if ('failed' in given) reject(new Error(`${name}: ${given.failed}`));
          else resolve(given.result);
        };
        const ended = (code: number | null): void => reject(new Error(`${name} ended with code ${code} and did not answer.`));
        child.on('message', answered).once('exit', ended);
        child.send({ question, n } satisfies Question<Asked>);
      });
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

function start(name: string, input: object): ChildProcess {
  const child = fork(fileURLToPath(new URL(`jobs/${name}.ts`, import.meta.url)), {
    execArgv: ['--import=tsx', '--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  child.send(input);
  return child;
}

function answerOf<Out>(name: string, child: ChildProcess, begun?: () => void): Promise<Out> {
  return new Promise((resolve, reject) => {
    child.on('message', (message) => {
      const answer = message as Answer<Out> | Begun;
      if ('begun' in answer) begun?.();
      else if ('failed' in answer) reject(new Error(`${name}: ${answer.failed}`));
      else resolve(answer.result);
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${name} ended with code ${code} and no answer.`)));
  });
}
