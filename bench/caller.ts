/** A person at the API: signed in over real HTTP, on connections that stay open; a command's refusal is an answer, not a fault. */
import { Agent, type IncomingMessage, request } from 'node:http';

export class Caller {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 });
  readonly cookie: string;

  private constructor(url: string, cookie: string) {
    this.#url = url;
    this.cookie = cookie;
  }

  /** With the demonstration's password. @throws Error when the centre refuses */
  static async signIn(url: string, account: string): Promise<Caller> {
    const answer = await fetch(`${url}/api/v1/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: account, password: 'demo' }),
    });
    const cookie = answer.headers.get('set-cookie')?.split(';')[0];
    await answer.arrayBuffer();
    if (cookie === undefined) throw new Error(`Signing in failed with status ${answer.status}.`);
    return new Caller(url, cookie);
  }

  /** @throws Error for anything but a 200 */
  async get<T>(path: string): Promise<T> {
    const { status, body } = await this.#call('GET', path, null);
    if (status !== 200) throw new Error(`GET ${path} was answered ${status}.`);
    return JSON.parse(body) as T;
  }

  /** @returns null when it was carried out, else why not */
  async order(alarm: string, command: object): Promise<string | null> {
    const { status, body } = await this.#call('POST', `/api/v1/alarms/${alarm}/commands`, JSON.stringify(command));
    if (status === 200) return null;
    return String((JSON.parse(body) as { readonly code?: string }).code ?? status);
  }

  end(): void {
    this.#agent.destroy();
  }

  async #call(method: string, path: string, body: string | null): Promise<{ readonly status: number; readonly body: string }> {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const type = body === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const asked = request(this.#url + path, { method, agent: this.#agent, headers: { cookie: this.cookie, ...type } }, resolve);
      asked.once('error', reject);
      asked.end(body ?? undefined);
    });
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
    return { status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
  }
}
