//! What the API server refuses by who asks: `ValidatingAdmissionPolicy` objects, made from the registry of kinds.
//!
//! | policy | says |
//! |---|---|
//! | `firedrill-faults`, `firedrill-actions` | who may write a drill, by its kinds ([`people`]) |
//! | `firedrill-runs` | who may run and schedule a drill, and where; whose name a run carries ([`people`]) |
//! | `firedrill-approvals`, `firedrill-own-runs` | who approves ([`people`]) |
//! | `firedrill-account` | which fields firedrill's own account may change ([`account`]) |
//!
//! They need Kubernetes 1.30, where `admissionregistration.k8s.io/v1` has them (KEP-3488). All fail closed.

pub mod account;
pub mod people;
pub mod policy;

use std::fmt::Write as _;

use self::policy::Policy;
use super::crd::CrdError;

/// Path of the chart's copy, from the root of the repository.
pub const CHART_FILE: &str = "charts/firedrill/templates/admission.yaml";
/// Longest name of a namespace (RFC 1123 label), and of a user.
const LONGEST: (usize, usize) = (63, 256);

/// For whom the policies are: names of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The operator's namespace. None: only its account is kept to its fields, in a cluster that it drills in from elsewhere.
    namespace: Option<String>,
    /// Firedrill's own user name.
    account: String,
}

impl Place {
    /// A namespace with an operator in it, and the user name that the API server knows the operator by.
    ///
    /// # Errors
    /// A name that no namespace, no user has: both stand inside of expressions, so nothing that could end a text is taken.
    pub fn new(namespace: Option<&str>, account: &str) -> Result<Self, String> {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(wrong) = namespace.filter(|name| name.is_empty() || name.len() > LONGEST.0 || !name.chars().all(label)) {
            return Err(format!("'{wrong}' is no namespace: lower-case letters, digits and hyphens, at most {}", LONGEST.0));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:@/+".contains(c);
        if account.is_empty() || account.len() > LONGEST.1 || !account.chars().all(plain) {
            return Err(format!("'{account}' is no user name, such as system:serviceaccount:NAMESPACE:NAME"));
        }
        Ok(Self { namespace: namespace.map(str::to_owned), account: account.to_owned() })
    }

    /// As the chart's template has it.
    fn of_chart() -> Self {
        Self { namespace: Some("{{$namespace}}".to_owned()), account: "{{$account}}".to_owned() }
    }

    /// Every policy, those of people first.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        let own = account::policy(self.namespace.as_deref(), &self.account);
        let people = self.namespace.iter().flat_map(|_| people::policies(&self.account));
        people.chain([own]).collect()
    }

    /// The policies and their bindings as YAML documents, ready for `kubectl apply -f -`.
    ///
    /// # Errors
    /// See [`CrdError`].
    pub fn yaml(&self) -> Result<String, CrdError> {
        let mut out = String::new();
        for policy in self.policies() {
            let _ = writeln!(out, "---\n# {}", policy.about);
            for (number, document) in policy.documents(self.namespace.as_deref()).iter().enumerate() {
                let text = serde_saphyr::to_string(document).map_err(|error| CrdError::Yaml { kind: policy::KIND, why: error.to_string() })?;
                let _ = write!(out, "{}{text}", if number == 0 { "" } else { "---\n" });
            }
        }
        Ok(out)
    }
}

/// The chart's template.
///
/// # Errors
/// See [`CrdError`].
pub fn chart() -> Result<String, CrdError> {
    Ok(format!(
        "{{{{- /* Made by a test from the kinds of this build: UPDATE=1 cargo test --features failpoints --locked --test operator the_chart_carries */ -}}}}\n\
         {{{{- if .Values.admission.enabled }}}}\n\
         {{{{- $namespace := .Release.Namespace }}}}\n\
         {{{{- $account := printf \"system:serviceaccount:%s:%s\" .Release.Namespace (include \"firedrill.serviceAccountName\" .) }}}}\n\
         {}{{{{- end }}}}\n",
        Place::of_chart().yaml()?
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_end_a_text_of_an_expression_is_refused() {
        for (namespace, account) in [
            (Some("ops' || true || '"), "alice"),
            (Some("Ops"), "alice"),
            (Some(""), "alice"),
            (Some("ops"), "alice' || true || '"),
            (Some("ops"), ""),
            (None, "a b"),
        ] {
            assert!(Place::new(namespace, account).is_err(), "{namespace:?} {account}");
        }
        assert!(Place::new(Some("ops"), "system:serviceaccount:ops:firedrill").is_ok());
        assert!(Place::new(None, "arn:aws:sts::123456789012:assumed-role/firedrill/i-0123").is_ok());
    }

    #[test]
    fn every_kind_of_the_build_fits_the_budget_of_its_policy() {
        // `k8s.io/apiserver`: RuntimeCELCostBudget of all expressions of a policy; `library/cost.go`: what one check of the authorizer takes of it.
        // A twentieth is more than the largest drill takes for the rest, which a test on a real API server shows.
        const BUDGET: usize = 10_000_000;
        const CHECK: usize = 350_000;
        for policy in Place::new(Some("ops"), "alice").unwrap().policies() {
            let checks = policy.validations.iter().filter(|one| one.expression.contains(".check(")).count();
            assert!(checks * CHECK + BUDGET / 20 <= BUDGET, "{}: {checks} checks; divide its kinds between two policies", policy.name);
        }
    }
}
