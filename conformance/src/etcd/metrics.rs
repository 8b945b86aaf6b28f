//! Reading the text format of Prometheus.

/// The sum over all series of this name that carry these labels among others; `None` if there is no such series.
pub(super) fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (carried, value) = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?,
            None => ("", rest.strip_prefix(' ')?),
        };
        let carries = |(label, value): &(&str, &str)| {
            let wanted = format!("{label}=\"{value}\"");
            // A comma within a value would need a parser; etcd has none.
            carried.split(',').any(|pair| pair == wanted)
        };
        if labels.iter().all(carries) { value.trim().parse::<f64>().ok() } else { None }
    });
    values.fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

#[cfg(test)]
mod tests {
    use super::sum;

    const PAGE: &str = r#"# HELP etcd_debugging_mvcc_watcher_total Total number of watchers.
# TYPE etcd_debugging_mvcc_watcher_total gauge
etcd_debugging_mvcc_watcher_total 3
etcd_debugging_mvcc_watcher_total_not 9
grpc_server_handled_total{grpc_code="OK",grpc_method="Watch",grpc_type="bidi_stream"} 2
grpc_server_handled_total{grpc_code="Canceled",grpc_method="Watch",grpc_type="bidi_stream"} 1
grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_type="unary"} 1.5e+06
"#;

    #[test]
    fn series_are_summed() {
        assert_eq!(sum(PAGE, "etcd_debugging_mvcc_watcher_total", &[]), Some(3.0));
        let handled = |labels| sum(PAGE, "grpc_server_handled_total", labels);
        assert_eq!(handled(&[("grpc_method", "Watch")]), Some(3.0));
        assert_eq!(handled(&[("grpc_method", "Watch"), ("grpc_code", "OK")]), Some(2.0));
        assert_eq!(handled(&[("grpc_method", "Range")]), Some(1_500_000.0));
        assert_eq!(handled(&[("grpc_method", "Wat")]), None);
        assert_eq!(sum(PAGE, "etcd_debugging", &[]), None);
    }
}
