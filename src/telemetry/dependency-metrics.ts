import type { IdentityDependencyName, IdentityDependencyObserver } from '../identity/identity-dependency';
import type { Metrics } from './metrics';

/** Whether those who are asked about callers answer. */
export class DependencyMetrics implements IdentityDependencyObserver {
  private readonly up;

  constructor(metrics: Metrics) {
    this.up = metrics.gauge('osp_dependency_up');
  }

  dependencyIs(dependency: IdentityDependencyName, isUp: boolean): void {
    this.up.set({ dependency }, isUp ? 1 : 0);
  }
}
