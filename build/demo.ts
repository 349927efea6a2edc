import { rolldown } from 'rolldown';

const apps = ['client', 'identity-provider', 'mcp-server', 'notes-api'];

/** The demo's three programs, one file each, for the demo image. */
export async function bundleDemo(): Promise<void> {
  await Promise.all(
    apps.map(async (app) => {
      const bundle = await rolldown({ input: `test/demo/apps/${app}.ts`, platform: 'node', logLevel: 'silent' });
      // Not minified: oidc-provider files what it stores under the names of its classes.
      await bundle.write({ file: `dist/demo/${app}.js`, format: 'esm', minify: false });
    }),
  );
}
