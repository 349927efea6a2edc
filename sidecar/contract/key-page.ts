import { ContractError, ifPresent, present, readList, readObject, readText } from './fields.ts';

/** Where users set their keys for one server, and what a sidecar needs to send them there. */
export interface KeyPage {
  /** Of this server's page. `https:`, or `http:` of this machine. */
  readonly url: string;
  /**
   * 32 bytes in base64url, of this server alone and the same in all its pods and in the operator: signs links to the page and seals
   * what a client keeps for the proxy between two requests.
   */
  readonly stateKey: string;
  /** Names (`clientInfo.name`) of clients that open URLs for their users although they do not say so. */
  readonly assumedClients?: readonly string[];
}

export const keyPageUrlCharsMax = 2_048;
export const assumedClientsMax = 32;

/** A page that is not on this machine is reached over TLS (MCP, Elicitation, "Safe URL Handling"). */
export const keyPageUrlForm =
  /^(?:https:\/\/[^/?#@\s]+|http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?)(?:[/?][\x21-\x7e]*)?$/;

const secretForm = /^[A-Za-z0-9_-]{43}$/;

/** 32 bytes in base64url. @throws ContractError */
export function parseSecret(value: unknown, path: string): string {
  return readText(value, path, { charsMax: 43, pattern: secretForm, expected: '32 bytes in base64url' });
}

/** @throws ContractError */
export function parseKeyPage(value: unknown, path: string): KeyPage {
  const page = readObject(value, path);
  const url = readText(page['url'], `${path}.url`, {
    charsMax: keyPageUrlCharsMax,
    pattern: keyPageUrlForm,
    expected: 'an https URL',
  });
  if (!URL.canParse(url)) throw new ContractError(`${path}.url`, 'an https URL');
  return present({
    url,
    stateKey: parseSecret(page['stateKey'], `${path}.stateKey`),
    assumedClients: ifPresent(page['assumedClients'], (found) =>
      readList(found, `${path}.assumedClients`, {
        itemsMax: assumedClientsMax,
        item: (name, at) => readText(name, at, { charsMax: 128 }),
      }),
    ),
  });
}
