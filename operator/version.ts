import manifest from '../package.json' with { type: 'json' };

/** Version of this build, as users see it in the chart, in logs and in audit records of the API server. */
export const operatorVersion: string = manifest.version;
