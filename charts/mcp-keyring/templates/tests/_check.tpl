{{- /* Arguments of node: asks every Service of the operator until all answer. {root, timeoutSeconds} */ -}}
{{- define "mcpKeyring.checkPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- include "mcpKeyring.podSecurity" .root | nindent 2 }}
{{- with .root.Values.operator.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.operator.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: check
    image: {{ include "mcpKeyring.image" (dict "image" .root.Values.operator.image "appVersion" .root.Chart.AppVersion) }}
    imagePullPolicy: {{ .root.Values.operator.image.pullPolicy }}
    command: [/usr/local/bin/node, --input-type=module, --eval]
    args:
      - |
        import https from 'node:https';
        const namespace = '{{ .root.Release.Namespace }}';
        const deadline = Date.now() + {{ .timeoutSeconds }}_000;
        const pause = () => new Promise((resolve) => setTimeout(resolve, 1_000));

        // Who answers must be certified for the name that sidecars and the API server call. The CA is not known here.
        const askTls = (service) => new Promise((resolve, reject) => {
          const host = `${service}.${namespace}.svc`;
          const request = https.get({ host, path: '/', rejectUnauthorized: false, timeout: 5_000 }, (response) => {
            const names = response.socket.getPeerCertificate().subjectaltname ?? '';
            response.resume();
            if (names.split(', ').includes(`DNS:${host}`)) resolve();
            else reject(new Error(`${host} shows a certificate for ${names || 'nobody'}`));
          });
          request.on('timeout', () => request.destroy(new Error(`${host} does not answer`)));
          request.on('error', reject);
        });
        const askMetrics = async () => {
          const response = await fetch(`http://mcp-keyring-metrics.${namespace}.svc:8080/metrics`, { signal: AbortSignal.timeout(5_000) });
          if (!response.ok) throw new Error(`metrics answer ${response.status}`);
        };

        const checks = { broker: () => askTls('mcp-keyring-broker'), webhook: () => askTls('mcp-keyring-webhook'), metrics: askMetrics };
        for (const [name, check] of Object.entries(checks)) {
          for (;;) {
            try {
              await check();
              console.log(`${name} answers`);
              break;
            } catch (error) {
              if (Date.now() > deadline) throw error;
              await pause();
            }
          }
        }
    resources:
      requests: { cpu: 10m, memory: 48Mi }
      limits: { memory: 128Mi }
    securityContext:
      {{- include "mcpKeyring.containerSecurity" .root | nindent 6 }}
{{- end }}
