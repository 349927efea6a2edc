import { expect, test } from 'vitest';
import { Counter, Histogram, joinLabels, Reading, seriesMax } from '#sidecar/telemetry/exposition.ts';

test('writes counters, readings and histograms as Prometheus reads them', () => {
  const counter = new Counter({ name: 'c_total', help: 'C.' });
  counter.add(joinLabels({ a: 'x"\\\n', b: 'y' }));
  counter.add(joinLabels({ a: 'x"\\\n', b: 'y' }), 2);
  expect(counter.expose()).toBe('# HELP c_total C.\n# TYPE c_total counter\nc_total{a="x\\"\\\\\\n",b="y"} 3\n');
  const reading = new Reading({ name: 'g', help: 'G.', type: 'gauge' }, () => 1.5);
  expect(reading.expose()).toBe('# HELP g G.\n# TYPE g gauge\ng 1.5\n');
  const histogram = new Histogram({ name: 'h', help: 'H.' }, [0.1, 1]);
  for (const value of [0.1, 0.5, 3]) histogram.observe('m="a"', value);
  expect(histogram.expose().split('\n')).toEqual([
    '# HELP h H.',
    '# TYPE h histogram',
    'h_bucket{m="a",le="0.1"} 1',
    'h_bucket{m="a",le="1"} 2',
    'h_bucket{m="a",le="+Inf"} 3',
    'h_sum{m="a"} 3.6',
    'h_count{m="a"} 3',
    '',
  ]);
});

test('never grows without bound', () => {
  const counter = new Counter({ name: 'c_total', help: 'C.' });
  for (let index = 0; index < seriesMax + 100; index += 1) counter.add(`a="${index}"`);
  expect(counter.expose().split('\n')).toHaveLength(seriesMax + 3);
});
