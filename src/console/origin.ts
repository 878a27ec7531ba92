/** The Origin rule: a page of another site cannot act, or listen, with the browser's cookie of this one. */

/** Headers as Node gives them; only these are looked at. */
export interface OriginHeaders {
  readonly origin?: string | undefined;
  readonly host?: string | undefined;
  readonly 'x-forwarded-host'?: string | string[] | undefined;
}

export interface OriginRule {
  /** PUBLIC_URL: the address that people type, when it is not what the proxy passes on as Host. */
  readonly publicUrl: string | null;
  readonly trustProxy: boolean;
}

/**
 * True when there is no Origin (not a browser), when it is PUBLIC_URL's, or when its host is the one that the request
 * was sent to. Everything that changes, and the upgrade of a WebSocket, asks this (interfaces.md).
 */
export function originAllowed(headers: OriginHeaders, { publicUrl, trustProxy }: OriginRule): boolean {
  const { origin } = headers;
  if (origin === undefined) return true;
  // `null` (a sandboxed frame, a file) and anything that is no URL is foreign.
  if (!URL.canParse(origin)) return false;
  const { host, protocol, origin: normalised } = new URL(origin);
  if (protocol !== 'http:' && protocol !== 'https:') return false;
  if (publicUrl !== null && new URL(publicUrl).origin === normalised) return true;
  const forwarded = trustProxy ? [headers['x-forwarded-host']].flat().at(-1)?.split(',').at(-1)?.trim() : undefined;
  const sentTo = forwarded ?? headers.host;
  if (sentTo === undefined || !URL.canParse(`${protocol}//${sentTo}`)) return false;
  return new URL(`${protocol}//${sentTo}`).host === host;
}
