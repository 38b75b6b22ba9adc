//! What of a setting may be shown: a URL's password and its query are what only its owner knows.

/// The text with what is secret in a URL replaced by `***`: user and password, and the values of a query.
pub fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (place, query) = rest.split_once('?').map_or((rest, None), |(place, query)| (place, Some(query)));
    let (authority, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let host = match authority.rsplit_once('@') {
        Some((_, host)) => format!("***@{host}"),
        None => authority.to_owned(),
    };
    let query = query.map(|query| {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) => format!("{name}=***"),
            None => "***".to_owned(),
        });
        format!("?{}", parameters.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{host}{path}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_signatures_are_masked_and_nothing_else() {
        for (text, shown) in [
            ("/data/a@b?c=d", "/data/a@b?c=d"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
            ("https://me:secret@host:1/p@q", "https://***@host:1/p@q"),
            ("https://a:b@c@host", "https://***@host"),
            ("https://h/p?X-Amz-Signature=abc&sig=x&flag", "https://h/p?X-Amz-Signature=***&sig=***&***"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
