const keepAnnotation = `  {{- if .Values.crds.keep }}
  annotations:
    helm.sh/resource-policy: keep
  {{- end }}
`;

/** The chart template of one CustomResourceDefinition: its own text, with what Helm must not touch escaped. */
export function chartTemplateOf(yaml: string, fileName: string): string {
  const escaped = yaml.replaceAll('{{', '{{ "{{" }}');
  const marked = escaped.replace(/^(metadata:\n  name: .*\n)/m, `$1${keepAnnotation}`);
  if (marked === escaped) throw new Error(`${fileName} does not begin its metadata with the name`);
  const header = `{{- /* Generated from crds/${fileName} by crds/generate.ts; edit that file. */ -}}\n`;
  return `${header}${marked}`;
}
