/** Answers of the two ports that are not for clients. Pure, so that the HTTP library is known in one place only. */

export interface Endpoint {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export interface HealthSources {
  /** What keeps the sidecar from serving; empty when nothing does. */
  readonly notReady: () => readonly string[];
}

/** `/livez`: this process works. `/readyz`: it can serve. Anybody may ask, so asking changes nothing. */
export function answerHealth(sources: HealthSources, path: string): Endpoint {
  switch (path) {
    case '/livez':
      return text(200, 'ok\n');
    case '/readyz': {
      const reasons = sources.notReady();
      return reasons.length === 0 ? text(200, 'ok\n') : text(503, `${reasons.join('\n')}\n`);
    }
    default:
      return text(404, 'not found\n');
  }
}

/** Prometheus text format. */
export function answerMetrics(expose: () => string, path: string): Endpoint {
  return path === '/metrics'
    ? { status: 200, contentType: 'text/plain; version=0.0.4; charset=utf-8', body: expose() }
    : text(404, 'not found\n');
}

function text(status: number, body: string): Endpoint {
  return { status, contentType: 'text/plain; charset=utf-8', body };
}
