import { parseAllDocuments } from 'yaml';

import type { Json } from './pods.ts';

const settingsKind = 'InjectionSettings';

/** The pod in an input of the golden corpus, and the settings where it brings its own. */
export function podOf(text: string): readonly [pod: Json, settings: Json | undefined] {
  const documents = parseAllDocuments(text).map((document) => document.toJS() as Json);
  const workload = documents.find((document) => document['kind'] !== settingsKind) ?? {};
  return [podOfWorkload(workload), documents.find((document) => document['kind'] === settingsKind)];
}

/** What the controller of a workload sends to the API server. */
function podOfWorkload(workload: Json): Json {
  if (workload['kind'] === 'Pod') return workload;
  const spec = workload['spec'] as Json;
  if (workload['kind'] === 'CronJob')
    return podOfWorkload({ ...workload, ...(spec['jobTemplate'] as Json), kind: 'Job' });
  const template = spec['template'] as { metadata: Json; spec: Json };
  const name = String((workload['metadata'] as Json)['name']);
  const claims = (spec['volumeClaimTemplates'] ?? []) as { metadata: { name: string } }[];
  const metadata = {
    ...(claims.length === 0 ? { generateName: `${name}-` } : { name: `${name}-0` }),
    ...template.metadata,
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: { ...template.spec, ...claimVolumes(claims, `${name}-0`) } };
}

/** A StatefulSet gives each pod the claims that are named after it. */
function claimVolumes(claims: readonly { metadata: { name: string } }[], podName: string): Json {
  if (claims.length === 0) return {};
  const volumes = claims.map(({ metadata: { name } }) => ({
    name,
    persistentVolumeClaim: { claimName: `${name}-${podName}` },
  }));
  return { volumes };
}
