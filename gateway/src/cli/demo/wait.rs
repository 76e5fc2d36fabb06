//! Waiting for something to become true, and never longer than said.

use std::time::Duration;

use super::broken::Broken;

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `probe` finds what is waited for. A look that does not says what it saw.
///
/// # Errors
/// When `longest` is over: what was waited for, and what was seen last.
pub(super) async fn until<T>(
    what: &str,
    longest: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Broken> {
    let mut seen = "nothing".to_owned();
    let looking = async {
        loop {
            match probe().await {
                Ok(found) => return found,
                Err(instead) => seen = instead,
            }
            pause().await;
        }
    };
    match tokio::time::timeout(longest, looking).await {
        Ok(found) => Ok(found),
        Err(_) => Err(Broken::new(format!("waited {longest:?} for {what}; seen last: {seen}"))),
    }
}

/// The only sleep of the demo.
async fn pause() {
    tokio::time::sleep(PAUSE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_that_is_over_says_what_was_seen_last() {
        let mut looks = 0;
        let waited = until("the moon", Duration::from_millis(120), async || {
            looks += 1;
            Err::<(), _>(format!("cloud {looks}"))
        });
        let told = waited.await.unwrap_err().to_string();
        assert!(told.starts_with("waited 120ms for the moon; seen last: cloud "), "{told}");
    }
}
