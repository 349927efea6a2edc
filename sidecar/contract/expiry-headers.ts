/**
 * Header fields of an answer in which upstreams say when the token ends that was sent to them. Only what is documented is here:
 * GitHub (docs.github.com, "Getting started with the REST API", expiring personal access tokens; on GitHub Enterprise Server too) and SonarQube
 * (docs.sonarsource.com, "Using tokens", expiration date in HTTP response). GitLab and Azure DevOps say it in no header.
 */
const expiryHeaders = ['github-authentication-token-expiration', 'sonarqube-authentication-token-expiration'] as const;

/** `2027-01-31 09:00:00 UTC`, `2027-01-31 09:00:00 +0100` (GitHub), `2027-01-31T09:00:00+0000` (SonarQube). */
const form = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d) ?(?:(UTC|Z)|([+-]\d\d):?(\d\d))$/;
const charsMax = 40;

/** Pure. When the token ends, in RFC 3339, UTC, with milliseconds; undefined when the answer says nothing that can be read. */
export function expiryIn(headers: { get(name: string): string | null | undefined }): string | undefined {
  for (const name of expiryHeaders) {
    const text = headers.get(name);
    if (typeof text === 'string') return readExpiry(text);
  }
  return undefined;
}

function readExpiry(text: string): string | undefined {
  if (text.length > charsMax) return undefined;
  const [, day = '', clock = '', utc, hours = '', minutes = ''] = form.exec(text) ?? [];
  const ms = Date.parse(`${day}T${clock}.000${utc === undefined ? `${hours}:${minutes}` : 'Z'}`);
  if (Number.isNaN(ms)) return undefined;
  const instant = new Date(ms).toISOString();
  // A zone can move the last day into the year 10000, which has another form.
  return instant.length === 24 ? instant : undefined;
}
