import type { TestProject } from 'vitest/node';
import { Cluster } from '#test/demo/cluster.ts';
import {
  buildImages,
  installApps,
  installCharts,
  installMcpServer,
  makeDemoKeys,
  type DemoKeys,
} from '#test/demo/install.ts';

declare module 'vitest' {
  interface ProvidedContext {
    readonly demoKeys: DemoKeys;
  }
}

/** Installs once what every end-to-end test uses; the lab cluster is up already (`test/run.ts` sees to that). */
export default async function setup(project: TestProject): Promise<void> {
  const cluster = new Cluster({ kind: 'lab' });
  const keys = makeDemoKeys();
  buildImages();
  await installApps(cluster, keys);
  installCharts(cluster);
  installMcpServer(cluster);
  project.provide('demoKeys', keys);
}
